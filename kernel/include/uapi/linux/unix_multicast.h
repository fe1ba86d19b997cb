/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Multicast groups of AF_UNIX sockets, see unix_multicast(7).
 *
 * Every structure has a fixed size and no padding.  Fields called "flags" or
 * "reserved" must be zero where no value is defined; anything else is -EINVAL.
 */
#ifndef _UAPI_LINUX_UNIX_MULTICAST_H
#define _UAPI_LINUX_UNIX_MULTICAST_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define UMC_DEVICE	"/dev/unix_multicast"
#define UMC_VERSION	1

/* Limits of the interface; groups may be made smaller. */
#define UMC_MAX_MEMBERS		16384
#define UMC_MAX_PROGRAMS	64	/* in one filter */
#define UMC_MAX_STAMP		256	/* bytes inserted, and the offset */
#define UMC_MAX_MESSAGE		65536	/* larger ones ask */
#define UMC_MAX_ENTRIES		4096	/* of each kind in one UMC_WRITE */
#define UMC_MAX_CONTROL		4096	/* control data of one UMC_WRITE entry */
#define UMC_MAX_NAME		255	/* bytes of a name */
#define UMC_MAX_CLASSES		64
#define UMC_TOPICS		4
#define UMC_MAX_WATCHED		4	/* descriptors, for a group */

/* Stands for the group, or for every member, where an index is expected. */
#define UMC_ANY		0xffffffffU

/*
 * Verdicts.  Zero, which is also what classic BPF returns for a load out of
 * range, asks; so does every value not defined here.
 */
#define UMC_KIND_SHIFT	28
#define UMC_KIND_MASK	0xf0000000U
#define UMC_ASK		0x00000000U	/* or what the next program says */
#define UMC_ASK_NOW	0xf0000000U	/* whatever the next program says */
/* egress */
#define UMC_UNICAST	0x10000000U	/* to the member of that index */
#define UMC_MULTICAST	0x20000000U	/* to all members with a matching ingress filter */
#define UMC_NAMED	0x50000000U	/* to the member with the name that is in the message */
/* ingress and rest */
#define UMC_NO		0x30000000U
#define UMC_YES		0x40000000U

#define UMC_VERDICT_BIG_ENDIAN	0x01000000U	/* of the key and of the length */
#define UMC_VERDICT_CALL	0x02000000U	/* a reply to this key is expected */
#define UMC_VERDICT_REPLY	0x04000000U	/* the reply to this key */
#define UMC_VERDICT_FLAGS	0x0f000000U
#define UMC_VERDICT_KEY_SHIFT	14		/* offset of the key, in u32s */
#define UMC_VERDICT_KEY_MASK	0x00ffc000U
#define UMC_VERDICT_INDEX_MASK	0x00003fffU
/* of UMC_NAMED, instead of an index */
#define UMC_VERDICT_TOPIC_SHIFT	12		/* what the message is about, see UMC_SET_ACCEPT */
#define UMC_VERDICT_TOPIC_MASK	0x00003000U
#define UMC_VERDICT_NAME_MASK	0x00000fffU	/* offset of the name's u32 length, in u32s */

/* The fate of a multicast that does not fit a receiver's queue. */
enum {
	UMC_MODE_ASK,		/* goes to the daemon as a whole */
	UMC_MODE_BLOCK,		/* waits until all have room */
	UMC_MODE_DROP,		/* is delivered to the others */
};

/* Why a message went to the daemon's end. */
enum {
	UMC_ASKED_DIRTY = 1,	/* something before it is still at the daemon */
	UMC_ASKED_VERDICT,	/* the egress filter */
	UMC_ASKED_INGRESS,	/* the ingress filter of some member */
	UMC_ASKED_REST,		/* the group's rest filter */
	UMC_ASKED_CONTROL,	/* control data, an address, MSG_OOB */
	UMC_ASKED_SIZE,		/* empty, or too large for one delivery */
	UMC_ASKED_FULL,		/* a receiver's queue */
	UMC_ASKED_HELD,		/* a receiver is held */
	UMC_ASKED_BUSY,		/* a lock was contended */
	UMC_ASKED_GATE,		/* the gate is closed */
	UMC_ASKED_DEAD,		/* no such member, or not any more */
	UMC_ASKED_REPLY,	/* not asked for, duplicate, or at the limit */
	UMC_ASKED_CREDENTIALS,	/* a receiver wants the sender's */
	UMC_ASKED_FAULT,	/* unreadable memory */
	UMC_ASKED_MEMORY,	/* no memory */
	UMC_ASKED_BUDGET,	/* too many filter instructions */
	UMC_ASKED_STAMP,	/* message too short for the stamp, or overflow */
	UMC_ASKED_SECURITY,	/* a security module objects */
	UMC_ASKED_SHUTDOWN,	/* the sender's connection is going */
	UMC_ASKED_CONTEXT,	/* sent by the kernel, or from memory reclaim */
	UMC_ASKED_REASONS,
	UMC_ASKED_SIZE_OF_TABLE = 32,
};

#define UMC_CREATE_CLOSED	0x00000001U	/* joining by address is refused */

/**
 * struct umc_create - a new group
 * @version:	UMC_VERSION
 * @flags:	UMC_CREATE_*
 * @mode:	UMC_MODE_*
 * @max_members: indices are below this
 * @max_pending: calls one member may have unanswered at a time
 * @address_fd:	a bound SOCK_DGRAM socket: members are SOCK_DGRAM and use its
 *		address as the group's; -1: members are connections
 * @reserved:	0
 */
struct umc_create {
	__u32 version;
	__u32 flags;
	__u32 mode;
	__u32 max_members;
	__u32 max_pending;
	__s32 address_fd;
	__u64 reserved;
};

#define UMC_ADD_QUIET	0x00000001U	/* wants no multicast, until it has an ingress filter */

/**
 * struct umc_add - the peer of an accepted connection becomes a member
 * @listener_fd: listening socket that @accepted_fd was accepted from
 * @accepted_fd: the daemon's end
 * @index:	a free index
 * @mark:	what ingress filters see as the packet's mark
 * @flags:	UMC_ADD_*
 * @reserved:	0
 */
struct umc_add {
	__s32 listener_fd;
	__s32 accepted_fd;
	__u32 index;
	__u32 mark;
	__u32 flags;
	__u32 reserved;
};

/*
 * UMC_REMOVE, UMC_FORGET.  -EBUSY of UMC_REMOVE: the member is dead, but a
 * delivery to it that was decided before is still arriving.
 */
struct umc_index {
	__u32 index;
	__u32 flags;
};

/* UMC_SET_MARK */
struct umc_mark {
	__u32 index;
	__u32 mark;
};

enum {
	UMC_FILTER_EGRESS,
	UMC_FILTER_INGRESS,
	UMC_FILTER_REST,	/* index is UMC_ANY */
	UMC_FILTER_FIRST,	/* index is UMC_ANY; only while the group has no member */
	UMC_FILTER_SHARED,	/* index is UMC_ANY */
};

/*
 * UMC_FILTER_FIRST runs once for a message of a member, before all others.
 * UMC_ASK and UMC_ASK_NOW ask; any other verdict is what the other filters find
 * in SKF_AD_RXHASH, which is otherwise 0.
 */

/*
 * UMC_FILTER_SHARED is the egress filter of all members with a class.  What it
 * does not decide, and UMC_NAMED without such a member, or one that does not
 * accept the message, is for the member's own filter.
 */

/* One classic BPF program; instructions points to struct sock_filter. */
struct umc_program {
	__u64 instructions;
	__u32 length;
	__u32 reserved;
};

/**
 * struct umc_filter - replaces a filter
 * @index:	member, or UMC_ANY for a filter of the group's
 * @which:	UMC_FILTER_*
 * @count:	number of programs; 0: everything asks
 * @flags:	0
 * @prog_type:	0, classic BPF
 * @prog_fd:	0
 * @programs:	pointer to struct umc_program
 */
struct umc_filter {
	__u32 index;
	__u32 which;
	__u32 count;
	__u32 flags;
	__u32 prog_type;
	__s32 prog_fd;
	__u64 programs;
};

#define UMC_SHAPE_BIG_ENDIAN	0x00000001U	/* the words are */
#define UMC_SHAPE_ORDER		0x00000002U	/* a byte of the message tells */
#define UMC_SHAPE_TOTAL		0x00000004U	/* the length is the whole message's */

/**
 * struct umc_shape - what messages look like, so that verdicts can be remembered
 * @flags:	UMC_SHAPE_*
 * @size:	of the fixed part of a header, in bytes; 4 to 512
 * @alignment:	of what follows the header; a power of two up to 256
 * @fields_at:	where the u32 is that has the length of the rest of the header,
 *		behind the fixed part; UMC_ANY: there is no such part
 * @length_at:	where the u32 is that has the length of what follows the header
 * @skip_at:	where the u32 is that differs in each message, and is not 0
 * @order_at:	with UMC_SHAPE_ORDER, where the byte is that tells the byte order
 * @little:	its value for the one
 * @big:	and for the other
 * @reserved:	0
 *
 * All offsets are inside of the fixed part; @length_at and @skip_at are multiples
 * of 4.  A message whose header is the same
 * but for @length_at, @skip_at and the key of a reply has the same verdict.
 */
struct umc_shape {
	__u32 flags;
	__u32 size;
	__u32 alignment;
	__u32 fields_at;
	__u32 length_at;
	__u32 skip_at;
	__u32 order_at;
	__u8 little;
	__u8 big;
	__u8 reserved[2];
};

/**
 * struct umc_name - whose a name is
 * @index:	member, or UMC_ANY: no member's
 * @length:	of the name, 1 to UMC_MAX_NAME
 * @bytes:	pointer to it
 * @flags:	0
 * @reserved:	0
 */
struct umc_name {
	__u32 index;
	__u32 length;
	__u64 bytes;
	__u32 flags;
	__u32 reserved;
};

/* UMC_SET_CLASS; class is below UMC_MAX_CLASSES, or UMC_ANY: none */
struct umc_class {
	__u32 index;
	__u32 class;
};

/**
 * struct umc_accept - what members of a class accept by UMC_NAMED
 * @class:	of the receiver
 * @flags:	0
 * @from:	by topic: 1 << the class of a sender
 */
struct umc_accept {
	__u32 class;
	__u32 flags;
	__u64 from[UMC_TOPICS];
};

#define UMC_STAMP_LENGTH	0x00000001U	/* there is a length to correct */

/**
 * struct umc_stamp - what is inserted into all that a member sends directly
 * @index:	member
 * @flags:	UMC_STAMP_*
 * @length:	number of bytes; 0: no stamp
 * @offset:	where they are inserted
 * @length_offset: where the u32 is that grows by @length; below @offset
 * @reserved:	0
 * @bytes:	the bytes
 */
struct umc_stamp {
	__u32 index;
	__u32 flags;
	__u32 length;
	__u32 offset;
	__u32 length_offset;
	__u32 reserved;
	__u8 bytes[UMC_MAX_STAMP];
};

/**
 * struct umc_release_entry - a member that may send directly again
 * @index:	member
 * @result:	0; 1: it has sent directly since the last time.  -EBUSY: a message of it
 *		is on its way to the daemon, or unread there; -ENOENT
 */
struct umc_release_entry {
	__u32 index;
	__s32 result;
};

#define UMC_WRITE_HOLD	0x00000001U	/* stay held even after a full write */

/**
 * struct umc_write_entry - a message, or part of it, for one member
 * @index:	receiver
 * @flags:	UMC_WRITE_*
 * @iov:	pointer to struct iovec
 * @iov_count:	number of them; 0: only hold, or stop holding
 * @control_length: bytes of control data
 * @control:	pointer to struct cmsghdr
 * @result:	bytes written, or a negative error.  -EBUSY: a spilled message
 *		has to be read first, or a direct delivery is just going on
 */
struct umc_write_entry {
	__u32 index;
	__u32 flags;
	__u64 iov;
	__u32 iov_count;
	__u32 control_length;
	__u64 control;
	__s64 result;
};

/**
 * struct umc_write - what the daemon writes, and which members it releases
 * @entries:	pointer to struct umc_write_entry
 * @count:	number of them
 * @flags:	0
 * @releases:	pointer to struct umc_release_entry
 * @release_count: number of them
 * @reserved:	0
 *
 * First all receivers are held, then members are released, then receivers are
 * written to.  Those that sleep are woken after all entries, or after every 64.
 * The ioctl returns how many entries were written completely.
 */
struct umc_write {
	__u64 entries;
	__u32 count;
	__u32 flags;
	__u64 releases;
	__u32 release_count;
	__u32 reserved;
};

/* No direct delivery that was decided under an open gate takes effect on return. */
struct umc_gate {
	__u32 closed;
	__u32 flags;
};

/**
 * struct umc_watch - what becomes readable when another has changed what decisions rest on
 * @fd:		a netlink socket
 * @flags:	0
 *
 * As soon as it is readable the gate is closed, and poll(2) on the group reports
 * POLLPRI, until UMC_REVOKE finds it not readable.  That returns 1 if it still is,
 * or is again: all is taken back, but the gate stays closed.
 */
struct umc_watch {
	__s32 fd;
	__u32 flags;
};

struct umc_pending {
	__u32 caller;
	__u32 callee;
	__u32 key;
	__u32 age_ms;		/* out */
};

/**
 * struct umc_pending_list - calls that have no reply yet, oldest first
 * @entries:	pointer to struct umc_pending
 * @count:	in: room; out: how many there are, possibly more than room; with
 *		@min_age_ms at most one more
 * @caller:	only this one's, or UMC_ANY
 * @callee:	only to this one, or UMC_ANY
 * @min_age_ms:	only those at least that old
 * @flags:	0
 * @reserved:	0
 */
struct umc_pending_list {
	__u64 entries;
	__u32 count;
	__u32 caller;
	__u32 callee;
	__u32 min_age_ms;
	__u32 flags;
	__u32 reserved;
};

/* What read(2) on the group returns before the message's bytes. */
struct umc_spill {
	__u32 receiver;
	__u32 sender;
	__u32 length;		/* bytes that follow, stamped */
	__u32 written;		/* bytes of these that the receiver has */
};

/**
 * struct umc_stats - counters of a member, or of the group
 * @index:	member, or UMC_ANY
 * @flags:	0
 * @direct:	messages sent that no daemon saw
 * @multicast:	those of them that were multicasts
 * @copies:	deliveries made for these multicasts
 * @received:	direct deliveries to this member
 * @dropped:	deliveries to this member that had no room
 * @spilled:	deliveries to this member that went to the spill queue
 * @reserved:	0
 * @asked:	messages that went to the daemon, by reason
 */
struct umc_stats {
	__u32 index;
	__u32 flags;
	__u64 direct;
	__u64 multicast;
	__u64 copies;
	__u64 received;
	__u64 dropped;
	__u64 spilled;
	__u64 reserved;
	__u64 asked[UMC_ASKED_SIZE_OF_TABLE];
};

#define UMC_STATE_DIRTY		0x00000001U
#define UMC_STATE_HELD		0x00000002U
#define UMC_STATE_SPILLED	0x00000004U
#define UMC_STATE_DEAD		0x00000008U	/* gone, not yet forgotten */

struct umc_member_info {
	__u32 index;
	__u32 state;		/* out */
	__u32 mark;		/* out */
	__u32 asking;		/* out: sends on their way to the daemon */
};

#define UMC_JOIN_LOOPBACK	0x00000001U	/* gets its own messages too */
#define UMC_ADDRESS_SIZE	112

/**
 * struct umc_join - a datagram socket joins a group
 * @fd:		the socket; it gets an address if it has none
 * @flags:	UMC_JOIN_*
 * @length:	of @address, as in bind(2)
 * @index:	out
 * @address:	struct sockaddr_un
 */
struct umc_join {
	__s32 fd;
	__u32 flags;
	__u32 length;
	__u32 index;
	__u8 address[UMC_ADDRESS_SIZE];
};

struct umc_leave {
	__s32 fd;
	__u32 flags;
};

#define UMC_IOC 0xbb

/* on the device */
#define UMC_GET_VERSION		_IOR(UMC_IOC, 0x00, __u32)
#define UMC_CREATE		_IOW(UMC_IOC, 0x01, struct umc_create)
#define UMC_JOIN		_IOWR(UMC_IOC, 0x02, struct umc_join)
#define UMC_LEAVE		_IOW(UMC_IOC, 0x03, struct umc_leave)
/* on a group */
#define UMC_ADD			_IOW(UMC_IOC, 0x10, struct umc_add)
#define UMC_REMOVE		_IOW(UMC_IOC, 0x11, struct umc_index)
#define UMC_FORGET		_IOW(UMC_IOC, 0x12, struct umc_index)
#define UMC_SET_MARK		_IOW(UMC_IOC, 0x13, struct umc_mark)
#define UMC_SET_FILTER		_IOW(UMC_IOC, 0x14, struct umc_filter)
#define UMC_SET_STAMP		_IOW(UMC_IOC, 0x15, struct umc_stamp)
#define UMC_WRITE		_IOW(UMC_IOC, 0x17, struct umc_write)
#define UMC_GATE		_IOW(UMC_IOC, 0x18, struct umc_gate)
#define UMC_PENDING_TAKE	_IOWR(UMC_IOC, 0x19, struct umc_pending)
#define UMC_PENDING_LIST	_IOWR(UMC_IOC, 0x1a, struct umc_pending_list)
#define UMC_GET_STATS		_IOWR(UMC_IOC, 0x1b, struct umc_stats)
#define UMC_GET_MEMBER		_IOWR(UMC_IOC, 0x1c, struct umc_member_info)
#define UMC_PENDING_ADD		_IOW(UMC_IOC, 0x1d, struct umc_pending)
#define UMC_REVOKE		_IO(UMC_IOC, 0x1e)
#define UMC_SET_SHAPE		_IOW(UMC_IOC, 0x1f, struct umc_shape)
#define UMC_SET_NAME		_IOW(UMC_IOC, 0x20, struct umc_name)
#define UMC_SET_CLASS		_IOW(UMC_IOC, 0x21, struct umc_class)
#define UMC_SET_ACCEPT		_IOW(UMC_IOC, 0x22, struct umc_accept)
#define UMC_WATCH		_IOW(UMC_IOC, 0x23, struct umc_watch)

#endif /* _UAPI_LINUX_UNIX_MULTICAST_H */
