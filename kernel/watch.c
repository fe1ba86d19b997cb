// SPDX-License-Identifier: GPL-2.0
/*
 * Watched descriptors: what the owner has decided rests on something that another
 * process may change, and that a netlink socket announces, such as the policy of a
 * security module.  The announcement closes the gate before its sender goes on,
 * long before the owner wakes up and reads it.
 *
 * A waiter in the socket's wait queue, as KVM's irqfd has one, runs in the task that
 * makes the socket readable.  It counts an alarm, and until that is answered the
 * gate is closed.  UMC_REVOKE answers all alarms that were counted before it found
 * no announcement unread: the owner has read them, and what was decided before has
 * just been taken back.  An alarm is counted behind its announcement, which the
 * owner may have read by then; this alarm is answered by one more UMC_REVOKE, for
 * which poll() asks.
 */

#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "umc.h"

#define UMC_UNREAD	(EPOLLIN | EPOLLRDNORM | EPOLLERR | EPOLLHUP)

struct umc_watcher {
	struct list_head node;		/* group->watchers */
	struct umc_group *group;
	struct file *file;
	wait_queue_head_t *head;	/* of the file, which lives as long as that */
	wait_queue_entry_t waiter;
	poll_table table;
};

/* Closes the gate.  Called with the lock of some wait queue, perhaps in an interrupt. */
static void umc_alarm(struct umc_group *group)
{
	atomic64_inc(&group->alarms);
	umc_group_changed(group);
	wake_up_poll(&group->event_wait, EPOLLPRI);
}

static int umc_watcher_wake(wait_queue_entry_t *waiter, unsigned int mode, int sync, void *key)
{
	const struct umc_watcher *watcher = container_of(waiter, struct umc_watcher, waiter);
	__poll_t events = key_to_poll(key);

	if (!events || events & UMC_UNREAD)
		umc_alarm(watcher->group);
	return 0;
}

static void umc_watcher_queue(struct file *file, wait_queue_head_t *head, poll_table *table)
{
	struct umc_watcher *watcher = container_of(table, struct umc_watcher, table);

	watcher->head = head;
	add_wait_queue(head, &watcher->waiter);
}

static void umc_watcher_free(struct umc_watcher *watcher)
{
	if (watcher->head)
		remove_wait_queue(watcher->head, &watcher->waiter);
	fput(watcher->file);
	kfree(watcher);
}

/*
 * Netlink sockets only: their wait queue is their own, and no other file is ever
 * queued there, so that a group can't keep itself from being closed.
 */
static struct file *umc_watched_file(int fd)
{
	struct file *file = fget(fd);
	struct socket *sock;

	if (!file)
		return ERR_PTR(-EBADF);
	sock = sock_from_file(file);
	if (sock && READ_ONCE(sock->ops)->family == PF_NETLINK)
		return file;
	fput(file);
	return ERR_PTR(-EOPNOTSUPP);
}

/* group->watch held */
static int umc_watcher_add(struct umc_group *group, struct file *file)
{
	struct umc_watcher *watcher;

	if (group->watched == UMC_MAX_WATCHED)
		return -ENOSPC;
	watcher = kzalloc(sizeof(*watcher), GFP_KERNEL_ACCOUNT);
	if (!watcher)
		return -ENOMEM;
	watcher->group = group;
	watcher->file = get_file(file);
	init_waitqueue_func_entry(&watcher->waiter, umc_watcher_wake);
	init_poll_funcptr(&watcher->table, umc_watcher_queue);
	list_add(&watcher->node, &group->watchers);
	group->watched++;
	if (vfs_poll(file, &watcher->table) & UMC_UNREAD)
		umc_alarm(group);
	return 0;
}

/**
 * umc_watch - UMC_WATCH
 * @group:	of connections
 * @watch:	the descriptor
 *
 * Return: 0; -EBADF, -EOPNOTSUPP if it is no netlink socket, -ENOSPC, -ENOMEM
 */
int umc_watch(struct umc_group *group, const struct umc_watch *watch)
{
	struct file *file;
	int err;

	if (watch->flags)
		return -EINVAL;
	if (group->address)
		return -EOPNOTSUPP;
	file = umc_watched_file(watch->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	mutex_lock(&group->watch);
	err = umc_watcher_add(group, file);
	mutex_unlock(&group->watch);
	fput(file);
	return err;
}

/**
 * umc_watch_read - is all read that was announced?
 * @group:	its owner is about to answer
 * @alarms:	what may be answered then
 *
 * Return: false if a watched descriptor is readable
 */
bool umc_watch_read(struct umc_group *group, u64 *alarms)
{
	struct umc_watcher *watcher;
	bool read = true;

	/* Before the look: an alarm that is counted later finds the gate closed by itself. */
	*alarms = atomic64_read_acquire(&group->alarms);
	mutex_lock(&group->watch);
	list_for_each_entry(watcher, &group->watchers, node)
		if (vfs_poll(watcher->file, NULL) & UMC_UNREAD)
			read = false;
	mutex_unlock(&group->watch);
	return read;
}

/* The group closes: no alarm comes any more. */
void umc_watch_end(struct umc_group *group)
{
	struct umc_watcher *watcher, *next;

	list_for_each_entry_safe(watcher, next, &group->watchers, node) {
		list_del(&watcher->node);
		umc_watcher_free(watcher);
	}
}
