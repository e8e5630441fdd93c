// Selections in a directory of one machine.
#ifndef MIDLAYER_SERVER_SELECTION_FILE_STORE_H_
#define MIDLAYER_SERVER_SELECTION_FILE_STORE_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/selection/store.h"

namespace midlayer {

// In DIR/SCOPE/: ID.json and ID.report of each selection, `promoted` (an id and a line end), and `lock`. Every file is
// replaced whole and synced before a call returns, so a process may be killed at any instant; the next Open removes
// what it left. Damaged files are told by name and do not take the others with them; to repair one, put it again or
// remove it.
//
// Processes of one machine may share the directory. Changes are noticed through inotify; where there is none, and on
// network file systems for the changes of other machines, WaitForChange() lasts its whole timeout. The lock needs a
// file system with flock().
absl::StatusOr<std::unique_ptr<SelectionStore>> OpenFileStore(std::string_view directory, std::string_view scope,
                                                              const StoreOptions& options);

}  // namespace midlayer

#endif  // MIDLAYER_SERVER_SELECTION_FILE_STORE_H_
