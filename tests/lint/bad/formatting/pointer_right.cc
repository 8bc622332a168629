// lint-as: store/log.cc
int *make( int n );
