// Holds back the ends of calls while the server begins to shut down.
#ifndef MIDLAYER_SERVER_SERVICE_ANSWER_GATE_H_
#define MIDLAYER_SERVER_SERVICE_ANSWER_GATE_H_

#include <grpcpp/support/server_interceptor.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace midlayer {

// Open at first. Thread-safe.
class AnswerGate {
 public:
  // Calls `end` now, or when the gate opens.
  void Pass(std::function<void()> end);
  void Close();
  void Open();

  // Lets every call of a server send its status through this gate, which must outlive the server.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeInterceptors();

 private:
  std::mutex mutex_;
  // Guarded by mutex_.
  bool closed_ = false;
  std::vector<std::function<void()>> held_;
};

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SERVICE_ANSWER_GATE_H_
