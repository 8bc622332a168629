// lint-as: store/log.cc
void need(int n) { assert(n > 0); }
