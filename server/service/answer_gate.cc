#include "server/service/answer_gate.h"

#include <utility>

namespace midlayer {

namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerInterceptorFactoryInterface;
using grpc::experimental::ServerRpcInfo;

class StatusInterceptor final : public Interceptor {
 public:
  explicit StatusInterceptor(AnswerGate* gate) : gate_(gate) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (!methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) return methods->Proceed();
    gate_->Pass([methods] { methods->Proceed(); });
  }

 private:
  AnswerGate* const gate_;
};

class Factory final : public ServerInterceptorFactoryInterface {
 public:
  explicit Factory(AnswerGate* gate) : gate_(gate) {}
  Interceptor* CreateServerInterceptor(ServerRpcInfo*) override { return new StatusInterceptor(gate_); }

 private:
  AnswerGate* const gate_;
};

}  // namespace

void AnswerGate::Pass(std::function<void()> end) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) {
      held_.push_back(std::move(end));
      return;
    }
  }
  end();
}

void AnswerGate::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
}

void AnswerGate::Open() {
  std::vector<std::function<void()>> held;
  {
    std::lock_guard lock(mutex_);
    closed_ = false;
    held.swap(held_);
  }
  for (const auto& end : held) end();
}

std::unique_ptr<ServerInterceptorFactoryInterface> AnswerGate::MakeInterceptors() {
  return std::make_unique<Factory>(this);
}

}  // namespace midlayer
