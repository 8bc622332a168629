// lint-as: broker/server/dispatch.cc
int roll() { return rand() % 6; }
