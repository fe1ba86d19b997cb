// SPDX-License-Identifier: GPL-2.0
/* Groups: creation, the ioctls, closing. */

#include <linux/anon_inodes.h>
#include <linux/capability.h>
#include <linux/file.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "umc.h"

#define UMC_MAX_PENDING	65536

static LIST_HEAD(umc_names);
static DEFINE_MUTEX(umc_names_mutex);
static atomic_t umc_group_ids;

static void umc_group_free(struct kref *ref)
{
	struct umc_group *group = container_of(ref, struct umc_group, ref);

	umc_chain_free(rcu_dereference_protected(group->first, true));
	umc_chain_free(rcu_dereference_protected(group->rest, true));
	umc_chain_free(rcu_dereference_protected(group->shared, true));
	if (group->address)
		sock_put(group->address);
	umc_user_put(group->user);
	kvfree(group->table);
	kvfree(group->hits);
	kvfree(group->named);
	kfree(group);
}

void umc_group_put(struct umc_group *group)
{
	kref_put(&group->ref, umc_group_free);
}

static int umc_group_tables(struct umc_group *group)
{
	u32 members = group->max_members;

	group->table = kvcalloc(members, sizeof(*group->table), GFP_KERNEL_ACCOUNT);
	group->hits = kvcalloc(members, sizeof(*group->hits), GFP_KERNEL_ACCOUNT);
	return group->table && group->hits ? umc_names_init(group) : -ENOMEM;
}

static struct umc_group *umc_group_new(const struct umc_create *create, struct umc_user *user)
{
	struct umc_group *group = kzalloc(sizeof(*group), GFP_KERNEL_ACCOUNT);

	if (!group) {
		umc_user_put(user);
		return NULL;
	}
	kref_init(&group->ref);
	group->id = atomic_inc_return(&umc_group_ids);
	group->flags = create->flags;
	group->mode = create->mode;
	group->max_members = create->max_members;
	group->max_calls = create->max_pending;
	group->user = user;
	group->budget = umc_user_budget();
	group->seed = get_random_u32();
	spin_lock_init(&group->lock);
	mutex_init(&group->write);
	mutex_init(&group->multicast);
	spin_lock_init(&group->spill_lock);
	spin_lock_init(&group->calls_lock);
	init_waitqueue_head(&group->event_wait);
	mutex_init(&group->watch);
	INIT_LIST_HEAD(&group->watchers);
	INIT_LIST_HEAD(&group->spills);
	INIT_LIST_HEAD(&group->call_ages);
	INIT_LIST_HEAD(&group->names);
	INIT_LIST_HEAD(&group->recent);
	if (umc_group_tables(group)) {
		umc_group_put(group);
		return NULL;
	}
	return group;
}

/* Holding the bound socket proves ownership of its address, which becomes the group's. */
static int umc_group_name(struct umc_group *group, int fd)
{
	struct socket *sock;
	int err;

	sock = sockfd_lookup(fd, &err);
	if (!sock)
		return err;
	if (READ_ONCE(sock->ops)->family != PF_UNIX || sock->type != SOCK_DGRAM)
		err = -EINVAL;
	else if (!umc_address(sock->sk))
		err = -EADDRNOTAVAIL;
	if (!err) {
		group->address = sock->sk;
		sock_hold(group->address);
		mutex_lock(&umc_names_mutex);
		list_add(&group->names, &umc_names);
		mutex_unlock(&umc_names_mutex);
	}
	sockfd_put(sock);
	return err;
}

/* Is this the address of that socket?  Paths end at their first zero byte. */
bool umc_address_is(const struct sock *sk, const void *name, u32 length)
{
	const u32 start = offsetof(struct sockaddr_un, sun_path);
	struct unix_address *address = umc_address(sk);
	const struct sockaddr_un *given = name;
	u32 path;

	if (!address || length <= start || length > sizeof(*given) ||
	    given->sun_family != AF_UNIX)
		return false;
	if (!given->sun_path[0])
		return address->len == length && !memcmp(address->name, given, length);
	path = strnlen(given->sun_path, length - start);
	return address->len == start + path + 1 &&
	       !memcmp(address->name->sun_path, given->sun_path, path);
}

struct umc_group *umc_group_get_by_address(struct net *net, const struct umc_join *join)
{
	struct umc_group *group, *found = NULL;

	mutex_lock(&umc_names_mutex);
	list_for_each_entry(group, &umc_names, names) {
		if (net_eq(sock_net(group->address), net) &&
		    umc_address_is(group->address, join->address, join->length) &&
		    kref_get_unless_zero(&group->ref)) {
			found = group;
			break;
		}
	}
	mutex_unlock(&umc_names_mutex);
	return found;
}

static int umc_create_valid(const struct umc_create *create, const struct umc_user *user)
{
	if (create->version != UMC_VERSION)
		return -EPROTONOSUPPORT;
	if (create->flags & ~UMC_CREATE_CLOSED || create->reserved ||
	    create->mode > UMC_MODE_DROP || create->address_fd < -1 ||
	    !create->max_members || create->max_members > UMC_MAX_MEMBERS ||
	    create->max_pending > UMC_MAX_PENDING)
		return -EINVAL;
	/* Datagram members have no daemon's end to ask. */
	if (create->address_fd >= 0 && create->mode == UMC_MODE_ASK)
		return -EOPNOTSUPP;
	return create->max_members > umc_user_max_members(user) ? -EPERM : 0;
}

int umc_group_create(const struct umc_create *create)
{
	struct umc_group *group;
	struct umc_user *user;
	int err;

	user = umc_user_get(capable(CAP_NET_ADMIN));
	if (IS_ERR(user))
		return PTR_ERR(user);
	err = umc_create_valid(create, user);
	if (err) {
		umc_user_put(user);
		return err;
	}
	group = umc_group_new(create, user);
	if (!group)
		return -ENOMEM;
	if (create->address_fd >= 0)
		err = umc_group_name(group, create->address_fd);
	if (err) {
		umc_group_put(group);
		return err;
	}
	umc_debugfs_add(group);
	err = anon_inode_getfd("[unix_multicast]", &umc_group_fops, group, O_RDWR | O_CLOEXEC);
	if (err < 0) {
		umc_debugfs_remove(group);
		mutex_lock(&umc_names_mutex);
		list_del_init(&group->names);
		mutex_unlock(&umc_names_mutex);
		umc_group_put(group);
	}
	return err;
}

/* All members become ordinary sockets again, and spilled messages are retried. */
static int umc_group_release(struct inode *inode, struct file *file)
{
	struct umc_group *group = file->private_data;
	u32 i;

	mutex_lock(&umc_names_mutex);
	list_del_init(&group->names);
	mutex_unlock(&umc_names_mutex);
	umc_debugfs_remove(group);
	umc_watch_end(group);
	spin_lock(&group->lock);
	WRITE_ONCE(group->closed, true);
	spin_unlock(&group->lock);
	for (i = 0; i < group->max_members; i++) {
		struct umc_member *member;

		spin_lock(&group->lock);
		member = umc_member_locked(group, i);
		if (member)
			kref_get(&member->ref);
		spin_unlock(&group->lock);
		if (member) {
			umc_member_drop(member);
			/*
			 * The owner may write to its end now, and what is still
			 * under way must not come in between.
			 */
			while (umc_rx_is_taken(member))
				schedule_timeout_uninterruptible(1);
			umc_member_put(member);
		}
		cond_resched();
	}
	/* A delivery that is still under way is for its sender to look after. */
	smp_mb();
	umc_spill_flush(group);
	umc_group_put(group);
	return 0;
}

/* Closed: everything asks. */
static int umc_gate(struct umc_group *group, bool closed)
{
	spin_lock(&group->lock);
	WRITE_ONCE(group->gated, closed);
	umc_group_changed(group);
	spin_unlock(&group->lock);
	return 0;
}

static long umc_group_call(struct umc_group *group, unsigned int cmd, void *argument)
{
	const struct umc_index *index = argument;
	const struct umc_gate *gate = argument;

	switch (cmd) {
	case UMC_ADD:
		return umc_member_add(group, argument);
	case UMC_REMOVE:
		return index->flags ? -EINVAL : umc_member_remove(group, index->index);
	case UMC_FORGET:
		return index->flags ? -EINVAL : umc_member_forget(group, index->index);
	case UMC_SET_MARK:
		return umc_mark_set(group, argument);
	case UMC_SET_FILTER:
		return umc_filter_set(group, argument);
	case UMC_SET_STAMP:
		return umc_stamp_set(group, argument);
	case UMC_GATE:
		return gate->flags || gate->closed > 1 ? -EINVAL : umc_gate(group, gate->closed);
	case UMC_SET_SHAPE:
		return umc_shape_set(group, argument);
	case UMC_SET_NAME:
		return umc_name_set(group, argument);
	case UMC_SET_CLASS:
		return umc_class_set(group, argument);
	case UMC_SET_ACCEPT:
		return umc_accept_set(group, argument);
	case UMC_REVOKE:
		return umc_revoke(group);
	case UMC_WATCH:
		return umc_watch(group, argument);
	case UMC_PENDING_ADD:
		return umc_pending_add(group, argument);
	case UMC_PENDING_TAKE:
		return umc_pending_take(group, argument);
	case UMC_PENDING_LIST:
		return umc_pending_list(group, argument);
	case UMC_GET_STATS:
		return umc_stats_get(group, argument);
	case UMC_GET_MEMBER:
		return umc_member_info(group, argument);
	}
	return -ENOTTY;
}

/* Not inlined: the compiler clears the argument, which is large. */
static noinline long umc_group_change(struct file *file, unsigned int cmd, unsigned long arg)
{
	union {
		struct umc_add add;
		struct umc_filter filter;
		struct umc_stamp stamp;
		struct umc_stats stats;
		struct umc_pending_list list;
		u8 bytes[sizeof(struct umc_stats)];
	} argument;
	size_t size = _IOC_SIZE(cmd);
	long ret;

	BUILD_BUG_ON(sizeof(struct umc_stamp) > sizeof(argument));
	if (_IOC_TYPE(cmd) != UMC_IOC || size > sizeof(argument))
		return -ENOTTY;
	if (copy_from_user(argument.bytes, (void __user *)arg, size))
		return -EFAULT;
	ret = umc_group_call(file->private_data, cmd, &argument);
	if (ret >= 0 && _IOC_DIR(cmd) & _IOC_READ &&
	    copy_to_user((void __user *)arg, argument.bytes, size))
		return -EFAULT;
	return ret;
}

static long umc_group_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umc_write write;

	if (cmd != UMC_WRITE)
		return umc_group_change(file, cmd, arg);
	if (copy_from_user(&write, (void __user *)arg, sizeof(write)))
		return -EFAULT;
	return umc_write(file->private_data, &write);
}

static ssize_t umc_group_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	return umc_spill_read(file->private_data, buf, size, file->f_flags & O_NONBLOCK);
}

static __poll_t umc_group_poll(struct file *file, struct poll_table_struct *wait)
{
	struct umc_group *group = file->private_data;

	poll_wait(file, &group->event_wait, wait);
	return (list_empty_careful(&group->spills) ? 0 : EPOLLIN | EPOLLRDNORM) |
	       (umc_alarmed(group) ? EPOLLPRI : 0);
}

const struct file_operations umc_group_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = umc_group_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.read = umc_group_read,
	.poll = umc_group_poll,
	.release = umc_group_release,
	.llseek = noop_llseek,
};
