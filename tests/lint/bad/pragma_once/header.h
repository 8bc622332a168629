// lint-as: store/log.h
int log_count();
