#pragma once
// More macros of system headers, for names that the standard library uses itself. They are set
// after every foreign header was included, and take arguments like the originals: (std::min)(a, b)
// is safe, std::min(a, b) is not.
#undef min
#undef max
#undef major
#undef minor
#undef makedev
#define min(a, b) RLHF_TEST_TRAP      // Windows
#define max(a, b) RLHF_TEST_TRAP      // Windows
#define major(device) RLHF_TEST_TRAP  // <sys/sysmacros.h>
#define minor(device) RLHF_TEST_TRAP  // <sys/sysmacros.h>
#define makedev(a, b) RLHF_TEST_TRAP  // <sys/sysmacros.h>
