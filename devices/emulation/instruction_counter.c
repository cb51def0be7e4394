/* Counts the instructions that an emulated process executes, as a plugin of qemu's user emulation.
 *
 *     qemu-aarch64 -plugin instruction_counter.so,out=/path/of/counts …
 *
 * Every getppid() of the emulated process appends a line "mark COUNT" to the file, the end of the process a line
 * "end COUNT". getppid() serves as a mark because it changes nothing, costs next to nothing, and can be called from
 * any language. One counter serves all threads without a lock: counts are exact while one thread at a time computes.
 *
 * Random numbers that the process asks the kernel for are replaced by fixed bytes: hash tables seeded with them would
 * make one run probe a little more often than the next. Emulated memory is found at its own address (qemu -B 0).
 *
 * The few declarations that are needed stand here, because Debian's qemu-user comes without the header. They follow
 * version 1 of the plugin interface (qemu 4.2 to 8.2).
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct translated_block;
struct qemu_facts;
enum { INLINE_ADD = 0 };
enum { AARCH64_GETPPID = 173, AARCH64_GETRANDOM = 278 };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct translated_block *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct translated_block *, int operation, void *counter,
                                                     uint64_t amount);
extern size_t qemu_plugin_tb_n_insns(const struct translated_block *);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id,
                                                 void (*)(plugin_id, unsigned int vcpu, int64_t number, uint64_t,
                                                          uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                          uint64_t));
extern void qemu_plugin_register_vcpu_syscall_ret_cb(plugin_id, void (*)(plugin_id, unsigned int vcpu, int64_t number,
                                                                         int64_t result));
extern void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

static uint64_t executed;
static FILE *counts;
static __thread uint64_t random_buffer;

static void write_count(const char *what)
{
    fprintf(counts, "%s %" PRIu64 "\n", what, executed);
    fflush(counts);
}

/* A block is translated once and executed often: let each execution add its length. */
static void on_translation(plugin_id id, struct translated_block *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD, &executed, qemu_plugin_tb_n_insns(block));
}

static void on_system_call(plugin_id id, unsigned int vcpu, int64_t number, uint64_t a, uint64_t b, uint64_t c,
                           uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)vcpu, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number == AARCH64_GETPPID)
        write_count("mark");
    if (number == AARCH64_GETRANDOM)
        random_buffer = a;
}

static void after_system_call(plugin_id id, unsigned int vcpu, int64_t number, int64_t result)
{
    (void)id, (void)vcpu;
    if (number == AARCH64_GETRANDOM && result > 0)
        memset((void *)(uintptr_t)random_buffer, 0x5a, (size_t)result);
}

static void on_exit_of_process(plugin_id id, void *nothing)
{
    (void)id, (void)nothing;
    write_count("end");
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const struct qemu_facts *facts, int count,
                                                               char **arguments)
{
    (void)facts;
    for (int index = 0; index < count; index++)
        if (strncmp(arguments[index], "out=", 4) == 0)
            counts = fopen(arguments[index] + 4, "w");
    if (!counts) {
        fprintf(stderr, "instruction_counter: out=FILE is missing or cannot be written\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, after_system_call);
    qemu_plugin_register_atexit_cb(id, on_exit_of_process, NULL);
    return 0;
}
