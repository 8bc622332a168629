// lint-as: broker/core/broker_core.cc
#include <fstream>
