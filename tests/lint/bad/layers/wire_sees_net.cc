// lint-as: protocol/wire/frame.cc
#include "protocol/net/connection.h"
