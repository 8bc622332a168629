// lint-as: broker/server/server_log.h
#pragma once
#include <spdlog/spdlog.h>
