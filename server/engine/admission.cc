#include "server/engine/admission.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace midlayer {

bool Admission::Fits(Size size) const {
  if (used_.texts == 0) return true;
  return used_.texts + size.texts <= limit_.texts && used_.bytes + size.bytes <= limit_.bytes;
}

Admission::Permit Admission::Take(Size size) {
  used_.texts += size.texts;
  used_.bytes += size.bytes;
  return Permit(nullptr, [this, size](void*) { GiveBack(size); });
}

absl::StatusOr<Admission::Permit> Admission::Try(Size size) {
  std::lock_guard lock(mutex_);
  if (waiters_.empty() && Fits(size)) return Take(size);
  return absl::ResourceExhaustedError(absl::StrCat("the queue is full: ", used_.texts, " texts of ", used_.bytes,
                                                   " bytes wait, at most ", limit_.texts, " texts and ", limit_.bytes,
                                                   " bytes may; try again later or elsewhere"));
}

void Admission::Wait(Size size, std::function<void(Permit)> granted) {
  std::unique_lock lock(mutex_);
  if (!waiters_.empty() || !Fits(size)) {
    waiters_.push_back({size, std::move(granted)});
    return;
  }
  Permit permit = Take(size);
  lock.unlock();
  granted(std::move(permit));
}

void Admission::GiveBack(Size size) {
  std::vector<std::pair<std::function<void(Permit)>, Permit>> grants;
  {
    std::lock_guard lock(mutex_);
    used_.texts -= size.texts;
    used_.bytes -= size.bytes;
    while (!waiters_.empty() && Fits(waiters_.front().size)) {
      Waiter& waiter = waiters_.front();
      grants.emplace_back(std::move(waiter.granted), Take(waiter.size));
      waiters_.pop_front();
    }
  }
  for (auto& [granted, permit] : grants) granted(std::move(permit));
}

Admission::Size Admission::used() const {
  std::lock_guard lock(mutex_);
  return used_;
}

}  // namespace midlayer
