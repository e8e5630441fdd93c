// What the server's process owes its surroundings: files, signals, and gRPC's own log lines.
#ifndef MIDLAYER_SERVER_PROCESS_H_
#define MIDLAYER_SERVER_PROCESS_H_

namespace midlayer {

// Before anything is opened. Standard files that the process was started without lead nowhere, instead of to whatever
// is opened next. As many files (connections) may be open as the hard limit allows. A log that nobody reads any more
// (SIGPIPE) ends nothing.
void PrepareProcess();

// The threads of a pass meet at every step, microseconds apart. OpenMP keeps those that wait awake for milliseconds,
// long enough to take the processor from whoever they wait for, or, where threads that computed before are more than
// processors, hardly at all. Unless the environment says how long, it shall be some ten microseconds. As OpenMP reads
// that before main(), this starts the program `argv` again, in this process.
void KeepWaitsShort(char** argv);

// gRPC's lines stand in our log from now on. Its errors count as such only once ServerStarted(): what keeps a server
// from starting is told by ourselves.
void LogWhatGrpcSays();
void ServerStarted();

// False once gRPC takes no connection any more, for want of files. Thread-safe.
bool TakesConnections();

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_PROCESS_H_
