// The header is C++ as well: linkage, and the struct by pointer only.
#include "kickstage.h"

#include <cstring>

int main()
{
    return ks_version() != nullptr && std::strcmp(ks_last_error(), "") == 0 &&
                   ks_starter_config_check(nullptr) == -1 &&
                   std::strcmp(ks_last_error(), "") != 0
               ? 0
               : 1;
}
