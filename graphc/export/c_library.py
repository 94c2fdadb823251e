"""Functions of C's library and of POSIX: a file may be called like one, but the function that it defines may not."""

from __future__ import annotations

import re

from graphc.emit.names import safe

__all__ = ["FUNCTIONS", "code_prefix", "function_name"]

_MATH = """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh drem erf erfc exp exp10 exp2 expm1 fabs fdim finite floor fma fmax
    fmaximum fmin fminimum fmod frexp gamma hypot ilogb isinf isnan j0 j1 jn ldexp lgamma llogb llrint llround log log10 log1p log2 logb
    lrint lround modf nan nearbyint nextafter nextdown nexttoward nextup pow pow10 remainder remquo rint round roundeven scalb scalbln
    scalbn significand sin sincos sinh sqrt tan tanh tgamma trunc y0 y1 yn cabs cacos cacosh carg casin casinh catan catanh ccos ccosh
    cexp cimag clog clog10 conj cpow cproj creal csin csinh csqrt ctan ctanh
"""
"""Each of them also ends in f and in l."""

_OTHERS = """
    INT8_C INT16_C INT32_C INT64_C INTMAX_C UINT8_C UINT16_C UINT32_C UINT64_C UINTMAX_C FD_CLR FD_ISSET FD_SET FD_ZERO WEXITSTATUS
    WIFCONTINUED WIFEXITED WIFSIGNALED WIFSTOPPED WSTOPSIG WTERMSIG be16toh be32toh be64toh htobe16 htobe32 htobe64 htole16 htole32
    htole64 le16toh le32toh le64toh

    fpclassify isfinite isgreater isgreaterequal isless islessequal islessgreater isnormal isunordered signbit signgam

    a64l abort abs aligned_alloc alloca arc4random arc4random_buf arc4random_uniform assert at_quick_exit atexit atof atoi atol atoll
    bsearch calloc clearenv div drand48 ecvt erand48 exit fcvt free gcvt getenv getloadavg getsubopt grantpt imaxabs imaxdiv initstate
    jrand48 l64a labs lcong48 ldiv llabs lldiv lrand48 malloc mblen mbstowcs mbtowc memalign mkdtemp mkostemp mkstemp mkstemps mktemp
    mrand48 nrand48 offsetof on_exit posix_memalign posix_openpt ptsname putenv qecvt qfcvt qgcvt qsort quick_exit rand random realloc
    reallocarray realpath rpmatch secure_getenv seed48 setenv setstate srand srand48 srandom strtod strtof strtoimax strtol strtold
    strtoll strtoq strtoul strtoull strtoumax strtouq system unlockpt unsetenv valloc wcstombs wctomb

    basename bcmp bcopy bzero explicit_bzero ffs ffsl ffsll index memccpy memchr memcmp memcpy memfrob memmem memmove mempcpy memrchr
    memset rawmemchr rindex stpcpy stpncpy strcasecmp strcasestr strcat strchr strchrnul strcmp strcoll strcpy strcspn strdup strerror
    strfry strlcat strlcpy strlen strncasecmp strncat strncmp strncpy strndup strnlen strpbrk strptime strrchr strsep strsignal strspn
    strstr strtok strverscmp strxfrm

    isalnum isalpha isascii isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit toascii tolower toupper
    towlower towupper iswalpha iswdigit iswspace

    asprintf clearerr ctermid dprintf fclose fdopen feof ferror fflush fgetc fgetpos fgets fileno flockfile fmemopen fopen fprintf fputc
    fputs fread freopen fscanf fseek fseeko fsetpos ftell ftello funlockfile fwrite getc getchar getdelim getline gets open_memstream
    pclose perror popen printf putc putchar puts remove rename rewind scanf setbuf setbuffer setlinebuf setvbuf snprintf sprintf sscanf
    stdin stdout stderr tempnam tmpfile tmpnam ungetc vasprintf vdprintf vfprintf vfscanf vprintf vscanf vsnprintf vsprintf vsscanf

    asctime clock clock_getres clock_gettime clock_nanosleep clock_settime ctime daylight difftime getdate getitimer gettimeofday gmtime
    localtime mktime nanosleep setitimer settimeofday stime strftime time timegm timer_create timespec_get timezone tzname tzset utime
    utimes

    longjmp setjmp sigaction sigaddset sigdelset sigemptyset sigfillset siglongjmp signal sigpending sigprocmask sigqueue sigsetjmp
    sigsuspend sigwait bsd_signal kill killpg psignal raise localeconv setlocale newlocale uselocale iconv

    access acct alarm brk chdir chmod chown chroot close confstr creat crypt daemon dup dup2 dup3 encrypt environ execl execle execlp
    execv execve execvp faccessat fchdir fchmod fchown fcntl fdatasync fork fpathconf fstat fsync ftruncate getcwd getdomainname getegid
    geteuid getgid getgroups gethostid gethostname getlogin getopt getpagesize getpass getpgid getpgrp getpid getppid getpriority
    getrlimit getrusage getsid getuid getwd ioctl isatty lchown link linkat lockf lseek lstat madvise mincore mkdir mkdirat mkfifo mknod
    mlock mlockall mmap mprotect msync munlock munmap nice open openat optarg opterr optind optopt pathconf pause pipe pipe2 poll ppoll
    pread preadv pselect ptrace pwrite pwritev read readahead readlink readv reboot renameat rmdir sbrk select sendfile setegid seteuid
    setgid setpgid setpgrp setpriority setregid setreuid setrlimit setsid setuid sleep splice stat statfs statvfs swab symlink sync
    syncfs syscall sysconf sysinfo tcgetpgrp tcsetpgrp tee times truncate ttyname ualarm umask uname unlink unlinkat usleep vfork wait
    wait3 wait4 waitid waitpid write writev

    accept accept4 bind connect endhostent freeaddrinfo gai_strerror getaddrinfo gethostbyaddr gethostbyname getnameinfo getpeername
    getprotobyname getservbyname getsockname getsockopt herror hstrerror htonl htons inet_addr inet_ntoa inet_ntop inet_pton listen
    ntohl ntohs recv recvfrom recvmsg send sendmsg sendto setsockopt shutdown sockatmark socket socketpair

    alphasort closedir dirfd dirname fdopendir fnmatch fts_open ftw glob globfree nftw opendir readdir rewinddir scandir seekdir telldir
    wordexp err errx error verr verrx vwarn vwarnx warn warnx hcreate hdestroy hsearch insque lfind lsearch remque tdelete tfind tsearch
    twalk btowc fgetwc fputwc getwc getwchar putwc putwchar mbrlen mbrtowc mbsinit mbsrtowcs wcrtomb wcscat wcschr wcscmp wcscpy wcslen
    wcsncpy wmemcpy dlclose dlerror dlopen dlsym regcomp regerror regexec regfree catclose catgets catopen getpwnam getpwuid getgrgid
    getgrnam gettext textdomain bindtextdomain openlog closelog syslog profil monstartup moncontrol getauxval getentropy getrandom
    backtrace step advance

    makecontext getcontext setcontext swapcontext mq_open mq_send msgctl msgget msgrcv msgsnd semctl semget semop sem_close sem_open
    sem_post sem_wait shmat shmctl shmdt shmget shm_open aio_read aio_write lio_listio thrd_create thrd_exit thrd_join mtx_init mtx_lock
    mtx_unlock cnd_init cnd_wait call_once feclearexcept feraiseexcept fesetround fegetround feholdexcept fetestexcept feupdateenv
    fegetenv fesetenv
"""

FUNCTIONS = frozenset((*(f"{name}{suffix}" for name in _MATH.split() for suffix in ("", "f", "l")), *_OTHERS.split()))
"""What no function of an exported file may be called."""

_MODES = ("F", "R", "W", "X")
"""Letters before _OK in the header unistd.h."""


def function_name(stem: str) -> str:
    """The function of a file: an underscore keeps it apart from C's own words and functions, also from those that end in _r and _l.

    >>> function_name("net"), function_name("div"), function_name("double"), function_name("omp_set_lock")
    ('net', 'div_', 'double_', 'x_omp_set_lock')
    """
    if stem.startswith(("omp_", "pthread_", "sched_")):
        return f"x_{stem}"
    return f"{stem}_" if re.sub(r"(_[rl])?_*$", "", stem) in FUNCTIONS else safe(stem)


def code_prefix(function: str) -> str:
    """The beginning of the status codes of a function.

    >>> code_prefix("net"), code_prefix("x")
    ('NET_', 'X__')
    """
    text = "".join(c if c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" else "_" for c in function.upper())
    return f"{text}__" if text in _MODES else f"{text}_"
