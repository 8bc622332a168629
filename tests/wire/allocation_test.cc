// The requests of every message allocate nothing but what their own fields need.

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>

#include "protocol/base/limits.h"
#include "protocol/wire/codec.h"
#include "tests/wire/samples.h"

namespace {
std::atomic<std::size_t> allocations{0};
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace tally::wire {
namespace {

template <typename Work>
std::size_t allocations_of(Work work) {
  work();  // what is kept for reuse is made here
  std::size_t before = allocations;
  work();
  return allocations - before;
}

struct Cost {
  std::size_t encode = 0;
  std::size_t decode = 0;
};

template <typename Plain>
Cost cost_of(const Plain& plain) {
  constexpr bool kIsRequest = std::is_constructible_v<Request, Plain>;
  Codec codec;
  std::variant<Request, Response> value;
  if constexpr (kIsRequest) {
    value = Request{plain};
  } else {
    value = Response{plain};
  }
  std::string bytes;
  auto encode = [&] {
    bytes.clear();
    if constexpr (kIsRequest) {
      codec.append_request(RequestId{1}, std::get<Request>(value), {}, bytes);
    } else {
      codec.append_response(RequestId{1}, std::get<Response>(value), {}, bytes);
    }
  };
  auto decode = [&] {
    Frame frame = *FrameDecoder(limits::kFrameBytesMax).next(bytes)->frame;
    if constexpr (kIsRequest) {
      return codec.decode_request(frame).has_value();
    } else {
      return codec.decode_response(frame).has_value();
    }
  };
  Cost cost;
  cost.encode = allocations_of(encode);
  bool decoded = false;
  cost.decode = allocations_of([&] { decoded = decode(); });
  CHECK(decoded);
  return cost;
}

template <typename Plain>
void check_cost(const Plain& plain, std::size_t decode) {
  Cost cost = cost_of(plain);
  CHECK(cost.encode == 0);
  CHECK(cost.decode == decode);
}

}  // namespace

TEST_CASE("send, prepare, end and settle allocate no more than their own long fields") {
  // A transaction id as SDKs make it does not fit into a std::string itself.
  std::string id(32, 'f');
  check_cost(SendRequest{.topic = "order.created"}, 0);
  check_cost(sample<SendResponse>(), 0);
  check_cost(PrepareRequest{.topic = "order.created",
                            .transaction = id,
                            .group = "orders",
                            .store = sample_id<StoreId>(80),
                            .fresh = true},
             1);
  check_cost(sample<PrepareResponse>(), 0);
  check_cost(EndRequest{.transaction = id,
                        .group = "orders",
                        .decision = Decision::kCommit,
                        .handle = sample_handle(),
                        .messages = 1},
             1);
  check_cost(sample<EndResponse>(), 0);
  check_cost(sample<SettleRequest>(), 1);   // the items
  check_cost(sample<SettleResponse>(), 1);  // the results
}

}  // namespace tally::wire
