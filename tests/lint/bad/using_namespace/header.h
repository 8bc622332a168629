// lint-as: store/log.h
#pragma once
using namespace std;
