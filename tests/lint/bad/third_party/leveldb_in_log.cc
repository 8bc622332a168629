// lint-as: store/log.cc
#include <leveldb/db.h>
