#pragma once
// Names of threads, as `top -H` and debuggers show them. At most 15 characters.

#include <pthread.h>

#include <string>

namespace tally::broker {

inline void name_this_thread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.c_str());
}

}  // namespace tally::broker
