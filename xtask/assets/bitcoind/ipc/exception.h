// init.cpp includes this header, which the published sources leave out. Built without IPC, nothing
// throws it.
#ifndef BITCOIN_IPC_EXCEPTION_H
#define BITCOIN_IPC_EXCEPTION_H

#include <stdexcept>

namespace ipc {
class Exception : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};
} // namespace ipc

#endif // BITCOIN_IPC_EXCEPTION_H
