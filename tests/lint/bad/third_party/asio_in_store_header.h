// lint-as: store/log.h
#pragma once
#include <asio/post.hpp>
