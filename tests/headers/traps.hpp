#pragma once
// Macros that real system headers define and that break code which uses the names. Each source that
// checks a header includes this first, so only names that the standard library itself stays clear
// of are here; the expansion is a syntax error wherever the name is used.
#define RLHF_TEST_TRAP ] this name is a macro on some system [

#define I RLHF_TEST_TRAP          // <complex.h>
#define B0 RLHF_TEST_TRAP         // <termios.h>
#define small RLHF_TEST_TRAP      // Windows: char
#define near RLHF_TEST_TRAP       // Windows
#define far RLHF_TEST_TRAP        // Windows
#define interface RLHF_TEST_TRAP  // Windows
#define IN RLHF_TEST_TRAP         // Windows
#define OUT RLHF_TEST_TRAP        // Windows
#define ERROR RLHF_TEST_TRAP      // Windows
#define OVERFLOW RLHF_TEST_TRAP   // <math.h>
#define UNDERFLOW RLHF_TEST_TRAP  // <math.h>
#define DOMAIN RLHF_TEST_TRAP     // <math.h>
#define PAGE_SIZE RLHF_TEST_TRAP  // <sys/user.h>, <limits.h>
