#include "broker/server/server.h"

#include <spdlog/spdlog.h>

#include <vector>

#include "broker/server/core_thread.h"
#include "broker/server/descriptors.h"
#include "broker/server/index_thread.h"
#include "broker/server/io_thread.h"
#include "broker/server/listener.h"
#include "broker/server/log_thread.h"
#include "broker/server/shard.h"
#include "broker/server/space_watch.h"
#include "protocol/base/clock.h"

namespace tally::broker {

/// What the log's own thread calls from its opening on.
struct Server::Inlet {
  Inlet(const Settings& settings, store::FileSystem& files)
      : space(files, settings.data_dir, core_mailbox, counters) {}

  Counters counters{};
  Mailbox<CoreMail> core_mailbox{};
  SpaceWatch space;
};

// In the order in which things need each other; destroyed the other way round.
struct Server::State {
  State(const Settings& settings, const SessionLimits& limits, std::unique_ptr<Inlet> first,
        Shard&& opened, store::FileSystem& files);

  std::unique_ptr<Inlet> inlet;
  Counters& counters;
  Mailbox<CoreMail>& core_mailbox;
  ChunkPool chunks{limits::kReceiveMemoryMax};
  ConnectionQuota connections;
  std::atomic<bool> reading_paused = false;
  Shard shard;
  std::shared_ptr<const store::LogReader> reader;
  LogThread log_thread;
  IndexThread index_thread;
  Wiring wiring;
  std::vector<std::unique_ptr<IoThread>> io_threads;
  CoreThread core_thread;
  std::unique_ptr<Listener> listener;
  bool serves = false;
};

Server::State::State(const Settings& settings, const SessionLimits& session_limits,
                     std::unique_ptr<Inlet> first, Shard&& opened, store::FileSystem& files)
    : inlet(std::move(first)),
      counters(inlet->counters),
      core_mailbox(inlet->core_mailbox),
      connections(settings.connections_max, limits::kConnectionsBeforeHelloPerAddressMax),
      shard(std::move(opened)),
      reader(shard.log->reader()),
      log_thread(*shard.log, core_mailbox, counters),
      index_thread({.index = *shard.index,
                    .room = *shard.room,
                    .log = *shard.log,
                    .files = files,
                    .base_directory = shard.base_directory,
                    .shard = ShardId(0),
                    .core = core_mailbox,
                    .counters = counters,
                    .condemn = [settings, &files] { condemn_index(settings, ShardId(0), files); }}),
      wiring{.settings = settings,
             .session = session_limits,
             .log_id = shard.log->id(),
             .log = reader.get(),
             .core = &core_mailbox,
             .index = &index_thread.mailbox(),
             .chunks = &chunks,
             .connections = &connections,
             .counters = &counters,
             .reading_paused = &reading_paused},
      core_thread(*shard.core, core_mailbox, log_thread.mailbox(), index_thread.mailbox(),
                  reading_paused, counters) {
  counters.bases = shard.bases;
  counters.log_first = shard.log->first().value;
  counters.log_end = shard.log->end().value;
  for (unsigned i = 0; i < settings.io_threads; ++i)
    io_threads.push_back(std::make_unique<IoThread>(i, wiring));
  listener = std::make_unique<Listener>(io_threads, connections);
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() { stop(); }

Result<std::unique_ptr<Server>> Server::start(const Settings& settings, const SessionLimits& limits,
                                              store::FileSystem& files) {
  const std::uint64_t descriptors = raise_descriptor_limit();
  auto inlet = std::make_unique<Inlet>(settings, files);
  TALLY_TRY(Shard shard, open_shard(settings, ShardId(0), files,
                                    {.space_changed = [&space = inlet->space](store::Space now) {
                                      space.changed(now);
                                    }}));
  warn_of_few_descriptors(descriptors, shard.log->segments(), settings);
  auto state = std::make_unique<State>(settings, limits, std::move(inlet), std::move(shard), files);
  TALLY_TRY_VOID(state->listener->bind(settings.listen));
  const store::Log& log = *state->shard.log;
  state->shard.core->serve({system_clock().wall_ms(), system_clock().boot_ms()}, log.last_index(),
                           log.end(), log.last_time_ms());
  state->log_thread.start();
  state->index_thread.start(state->io_threads);
  for (const auto& thread : state->io_threads) thread->start();
  state->core_thread.start(state->io_threads);
  state->listener->start();
  state->serves = true;
  spdlog::info("serving on {}", state->listener->address());
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

const std::string& Server::address() const { return state_->listener->address(); }

void Server::stop() {
  if (!std::exchange(state_->serves, false)) return;
  spdlog::info("stopping");
  // No new work.
  state_->listener->stop();
  for (const auto& thread : state_->io_threads) thread->stop_reading().wait();
  // Work that was begun is finished and made durable.
  state_->core_thread.stop();
  state_->log_thread.stop();
  state_->index_thread.stop();
  // The last answers go out.
  for (const auto& thread : state_->io_threads) thread->finish();
  spdlog::info("stopped");
}

}  // namespace tally::broker
