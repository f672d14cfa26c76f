# Installation: the headers, and a CMake package whose find_package(rlhf) needs nothing but threads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(rlhf_package_dir "${CMAKE_INSTALL_DATADIR}/cmake/rlhf")

install(TARGETS rlhf EXPORT rlhfTargets FILE_SET HEADERS FILE_SET optional_headers)
install(EXPORT rlhfTargets NAMESPACE rlhf:: DESTINATION "${rlhf_package_dir}")

configure_package_config_file(cmake/rlhfConfig.cmake.in "${PROJECT_BINARY_DIR}/rlhfConfig.cmake"
  INSTALL_DESTINATION "${rlhf_package_dir}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/rlhfConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES
  "${PROJECT_BINARY_DIR}/rlhfConfig.cmake"
  "${PROJECT_BINARY_DIR}/rlhfConfigVersion.cmake"
  cmake/RlhfComponents.cmake
  cmake/FindNCCL.cmake
  DESTINATION "${rlhf_package_dir}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DATADIR}/licenses/rlhf")
