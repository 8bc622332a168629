// lint-as: store/log.cc
void show(int n) { std::printf("%d", n); }
