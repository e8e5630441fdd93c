// Ctrl-C.
#ifndef MIDLAYER_CLIENT_CLI_INTERRUPT_H_
#define MIDLAYER_CLIENT_CLI_INTERRUPT_H_

namespace midlayer::cli {

// From now on the first SIGINT or SIGTERM only makes Interrupted() true; another one, a second or more later, ends the
// program at once.
void CatchInterrupts();

// Whether the user wants the program to stop. Thread-safe; all that waits asks every kInterruptPollMs.
bool Interrupted();

inline constexpr int kInterruptPollMs = 50;

}  // namespace midlayer::cli

#endif  // MIDLAYER_CLIENT_CLI_INTERRUPT_H_
