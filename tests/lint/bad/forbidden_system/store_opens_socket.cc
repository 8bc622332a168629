// lint-as: store/log.cc
#include <sys/socket.h>
