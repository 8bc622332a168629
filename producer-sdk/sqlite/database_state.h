#pragma once
// What all copies of one Database handle share: its connections, the turns of its writers, its store id.

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "producer-sdk/sqlite/connection.h"
#include "producer-sdk/sqlite/write_gate.h"

namespace tally::sqlite {

class Database::State {
 public:
  State(std::string path, OpenOptions options) : path_(std::move(path)), options_(options) {}

  /// Makes Tally's tables where they are missing and reads the store id.
  Result<void> migrate();

  /// A connection for one caller; it goes back to the pool unless it is discarded.
  class Lease {
   public:
    Lease(State& state, std::unique_ptr<Connection> connection)
        : state_(&state), connection_(std::move(connection)) {}
    Lease(Lease&&) = default;
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (connection_) state_->give_back(std::move(connection_));
    }
    Connection* operator->() const { return connection_.get(); }
    Connection& operator*() const { return *connection_; }
    /// Nothing after discard().
    Connection* get() const { return connection_.get(); }
    void discard() { connection_.reset(); }

   private:
    State* state_;
    std::unique_ptr<Connection> connection_;
  };
  Result<Lease> lease();

  /// A connection with the write lock. Ends with commit() or rolls back.
  class Writer {
   public:
    Writer(State& state, Lease lease) : state_(&state), lease_(std::move(lease)) {}
    Writer(Writer&& other) noexcept
        : state_(std::exchange(other.state_, nullptr)), lease_(std::move(other.lease_)) {}
    Writer& operator=(Writer&&) = delete;
    ~Writer() { end(); }
    Connection* operator->() const { return lease_.get(); }
    Connection& operator*() const { return *lease_; }
    /// After an error the outcome must be looked up; the connection is gone then.
    Result<void> commit();
    void roll_back() { end(); }

   private:
    void end();
    State* state_;  ///< nothing after the end
    Lease lease_;
  };
  Result<Writer> begin(WriteGate::Kind kind);

  const std::string& path() const { return path_; }
  StoreId store_id() const { return store_id_; }

 private:
  static constexpr std::size_t kIdleConnectionsMax = 8;
  static constexpr std::int64_t kSchemaVersion = 1;

  void give_back(std::unique_ptr<Connection> connection);
  Result<bool> read_identity(Connection& connection);

  const std::string path_;
  const OpenOptions options_;
  StoreId store_id_{};
  WriteGate gate_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
};

}  // namespace tally::sqlite
