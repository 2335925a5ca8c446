# SPDX-License-Identifier: Apache-2.0
# 64-bit Arm by Debian's cross compiler. FASTVLM_ARM_ROOT holds the libraries of an arm64 Debian (tests/arm/libraries.sh makes
# it). Programs are static, and what is built runs under qemu; QEMU_CPU chooses the processor.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
get_filename_component(repository ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)
set(FASTVLM_ARM_ROOT ${repository}/build/aarch64-root CACHE PATH "Libraries of an arm64 Debian")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES FASTVLM_ARM_ROOT)
set(CMAKE_FIND_ROOT_PATH ${FASTVLM_ARM_ROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)  # headers alone are those of any processor
set(ZLIB_USE_STATIC_LIBS ON)
set(CMAKE_CXX_FLAGS_INIT "-isystem ${FASTVLM_ARM_ROOT}/usr/include/aarch64-linux-gnu -isystem ${FASTVLM_ARM_ROOT}/usr/include")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static -L${FASTVLM_ARM_ROOT}/usr/lib/aarch64-linux-gnu")
set(CMAKE_SHARED_LINKER_FLAGS_INIT "-L${FASTVLM_ARM_ROOT}/usr/lib/aarch64-linux-gnu")
set(ENV{PKG_CONFIG_LIBDIR} ${FASTVLM_ARM_ROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${FASTVLM_ARM_ROOT})
