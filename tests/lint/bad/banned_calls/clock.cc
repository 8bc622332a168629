// lint-as: broker/server/dispatch.cc
auto now() { return std::chrono::steady_clock::now(); }
