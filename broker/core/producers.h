#pragma once
// The newest numbered messages of each producer: (producer, sequence) names a message, and its repeat gets the first answer.
//
// Per producer a window of kProducerWindow sequences behind its newest one; the kProducersMax producers that sent last.
// State is a function of the log. Owned by the core; one thread. Memory: up to 40 bytes a message within a window.

#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "broker/core/context.h"

namespace tally::broker {

inline constexpr std::uint64_t kProducerWindow = 1'024;  // what a connection can have in flight
inline constexpr std::size_t kProducersMax = 4'096;

/// A numbered message, and where it was put.
struct NumberedMessage {
  std::uint64_t sequence = 0;
  std::uint64_t fingerprint = 0;  ///< of topic and content
  SendResponse place{};
};

class Producers {
 public:
  explicit Producers(Context& context) : context_(context) {}

  Result<void> restore(const store::IndexView& index);

  /// What a message that was sent before gets, or one that can no longer be told from such a message; nothing: it is new.
  std::optional<Result<SendResponse>> repeated(std::uint64_t producer, std::uint64_t sequence,
                                               std::uint64_t fingerprint) const;
  /// After repeated() gave nothing.
  void sent(std::uint64_t producer, const NumberedMessage& message);
  void collect();

 private:
  struct Producer {
    std::uint64_t id = 0;
    std::uint64_t newest = 0;
    bool dirty = false;
    std::vector<NumberedMessage> window{};  ///< at sequence % kProducerWindow
  };
  using Order = std::list<Producer>;  ///< that sent longest ago first
  static std::string encode(const Producer& producer);
  static void put(Producer& producer, const NumberedMessage& message);

  Context& context_;
  Order producers_{};
  std::unordered_map<std::uint64_t, Order::iterator> by_id_{};
  std::vector<std::uint64_t> dirty_{};
};

/// The messages of a producer's row, by sequence; nothing when it does not decode.
std::optional<std::vector<NumberedMessage>> decode_producer(std::string_view row);

}  // namespace tally::broker
