// lint-as: store/log_reader.cc
#include "protocol/wire/frame.h"
