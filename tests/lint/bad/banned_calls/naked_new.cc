// lint-as: store/log.cc
int* make() { return new int(1); }
