// lint-as: producer-sdk/producer.cc
unsigned seed() { return std::random_device{}(); }
