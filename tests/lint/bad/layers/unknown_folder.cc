// lint-as: broker/extras/feature.cc
int feature_count();
