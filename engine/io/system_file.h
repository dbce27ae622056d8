// Access to files and folders, and the one rule for reading them: a file is damaged only if its bytes were read and are
// wrong. Any other failure (no permission to read, a device that reports an error, too many open files) is an
// Error(environment) that names the path. It is never treated as damage or as a missing file, since the consequences,
// such as a removed checkpoint or a skipped picture, cannot be undone.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace poise {

// What to do about an errno of a read: "you may not read it: change its permissions".
const char* read_remedy(int error);

// Error(environment): "PATH: cannot ACTION: No such device; REMEDY".
[[noreturn]] void fail_to_read(const std::string& path, const char* action, int error);

// Error(environment) if these bytes, all of a file, are the pointer that Git LFS leaves for a file it has not fetched.
void refuse_git_lfs_pointer(const std::string& path, std::string_view bytes);

enum class PathKind : uint8_t { nothing, file, folder, other };  // other: a device, a pipe
// What exists at `path`, following links. `nothing` only if the system reports that nothing exists.
PathKind kind_of_path(const std::string& path);
bool path_exists(const std::string& path);
bool is_regular_file(const std::string& path);
bool is_folder(const std::string& path);
// Do two paths name the same regular file, following links, or the same missing file? False for devices and pipes.
bool same_file(const std::string& a, const std::string& b);

// Names in a folder, sorted, without "." and "..": all of them, or Error(environment).
std::vector<std::string> names_in_folder(const std::string& folder);
// Empty if the folder does not exist.
std::vector<std::string> names_in_folder_if_exists(const std::string& folder);

// Creates the missing folders of `path`, with permissions as umask says, and appends each to `made` if that is given.
// Error(runtime) on failure.
void make_folders(const std::string& path, std::vector<std::string>* made = nullptr);

}  // namespace poise
