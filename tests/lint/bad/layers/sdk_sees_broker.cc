// lint-as: producer-sdk/producer.cc
#include "broker/core/transaction_rules.h"
