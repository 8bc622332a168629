// lint-as: broker/server/dispatch.cc
void show(int n) { std::cout << n; }
