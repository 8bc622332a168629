// lint-as: broker/server/dispatch.cc
#include "protocol/wire/requests.pb.h"
