// Files and folders as the operating system gives them, and the one rule for reading them: a file is damaged only
// if its bytes were read and are wrong. Whatever else fails (no right to read, a device that reports an error, too many
// open files) is an Error(environment) that names the path. It is never taken for damage, or for a file that is not
// there: what would follow from that, a checkpoint removed or a picture passed over, cannot be undone.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace poise {

// What to do about an errno of a read: "you may not read it: change its permissions".
const char* read_remedy(int error);

// Error(environment): "PATH: cannot ACTION: No such device; REMEDY".
[[noreturn]] void fail_to_read(const std::string& path, const char* action, int error);

// Error(environment) if these bytes, all of a file, are what Git LFS leaves in the place of one it has not fetched.
void refuse_git_lfs_pointer(const std::string& path, std::string_view bytes);

enum class PathKind : uint8_t { nothing, file, folder, other };  // other: a device, a pipe
// What stands at `path`, through links. `nothing` only if the system says that there is nothing.
PathKind kind_of_path(const std::string& path);
bool path_exists(const std::string& path);
bool is_regular_file(const std::string& path);
bool is_folder(const std::string& path);
// Do two paths name the same regular file, through links, or one that would be made? False for devices and pipes.
bool same_file(const std::string& a, const std::string& b);

// Names in a folder, sorted, without "." and "..": all of them, or Error(environment).
std::vector<std::string> names_in_folder(const std::string& folder);
// None where there is no such folder.
std::vector<std::string> names_in_folder_if_exists(const std::string& folder);

// Makes the folders of `path` that are not there yet, as umask says, and adds each to `made` if that is given.
// Error(runtime).
void make_folders(const std::string& path, std::vector<std::string>* made = nullptr);

}  // namespace poise
