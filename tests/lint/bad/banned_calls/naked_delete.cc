// lint-as: store/log.cc
void drop(int* n) { delete n; }
