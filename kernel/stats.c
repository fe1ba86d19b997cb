// SPDX-License-Identifier: GPL-2.0
/* Counters and states, by ioctl and in debugfs. */

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "umc.h"

static struct dentry *umc_debugfs;

static const char * const umc_reasons[UMC_ASKED_REASONS] = {
	[UMC_ASKED_DIRTY] = "dirty",
	[UMC_ASKED_VERDICT] = "verdict",
	[UMC_ASKED_INGRESS] = "ingress",
	[UMC_ASKED_REST] = "rest",
	[UMC_ASKED_CONTROL] = "control",
	[UMC_ASKED_SIZE] = "size",
	[UMC_ASKED_FULL] = "full",
	[UMC_ASKED_HELD] = "held",
	[UMC_ASKED_BUSY] = "busy",
	[UMC_ASKED_GATE] = "gate",
	[UMC_ASKED_DEAD] = "dead",
	[UMC_ASKED_REPLY] = "reply",
	[UMC_ASKED_CREDENTIALS] = "credentials",
	[UMC_ASKED_FAULT] = "fault",
	[UMC_ASKED_MEMORY] = "memory",
	[UMC_ASKED_BUDGET] = "budget",
	[UMC_ASKED_STAMP] = "stamp",
	[UMC_ASKED_SECURITY] = "security",
	[UMC_ASKED_SHUTDOWN] = "shutdown",
	[UMC_ASKED_CONTEXT] = "context",
};

/* Read without the locks that protect the updates: each is exact by itself. */
void umc_stats_add(struct umc_stats *stats, const struct umc_member *member)
{
	u32 i;

	stats->direct += READ_ONCE(member->direct);
	stats->multicast += READ_ONCE(member->multicast);
	stats->copies += READ_ONCE(member->copies);
	stats->received += READ_ONCE(member->received);
	stats->dropped += READ_ONCE(member->dropped);
	stats->spilled += READ_ONCE(member->spills);
	for (i = 0; i < UMC_ASKED_REASONS; i++)
		stats->asked[i] += READ_ONCE(member->asked[i]);
	stats->asked[UMC_ASKED_DIRTY] += atomic64_read(&member->unjudged);
	stats->asked[UMC_ASKED_CONTEXT] += atomic64_read(&member->hook->foreign);
}

/* Inside umc_srcu.  Those who are forgotten meanwhile may be missed, or counted twice. */
static void umc_stats_sum(struct umc_group *group, struct umc_stats *stats)
{
	u32 i;

	spin_lock(&group->lock);
	*stats = group->retired;
	spin_unlock(&group->lock);
	for (i = 0; i < READ_ONCE(group->top); i++) {
		struct umc_member *member = srcu_dereference(group->table[i], &umc_srcu);

		if (member)
			umc_stats_add(stats, member);
	}
	stats->index = UMC_ANY;
}

int umc_stats_get(struct umc_group *group, struct umc_stats *stats)
{
	u32 index = stats->index;
	struct umc_member *member;
	int reader;

	if (stats->flags)
		return -EINVAL;
	memset(stats, 0, sizeof(*stats));
	if (index == UMC_ANY) {
		reader = srcu_read_lock(&umc_srcu);
		umc_stats_sum(group, stats);
		srcu_read_unlock(&umc_srcu, reader);
		return 0;
	}
	member = umc_member_get(group, index);
	if (!member)
		return -ENOENT;
	umc_stats_add(stats, member);
	stats->index = index;
	umc_member_put(member);
	return 0;
}

int umc_member_info(struct umc_group *group, struct umc_member_info *info)
{
	struct umc_member *member;
	int err = 0;

	if (info->index >= group->max_members)
		return -EINVAL;
	info->state = 0;
	info->mark = 0;
	info->asking = 0;
	spin_lock(&group->lock);
	member = umc_member_locked(group, info->index);
	if (!member) {
		err = -ENOENT;
	} else if (member->dead) {
		info->state = UMC_STATE_DEAD;
	} else {
		if (READ_ONCE(member->hook->dirty))
			info->state |= UMC_STATE_DIRTY;
		if (READ_ONCE(member->held))
			info->state |= UMC_STATE_HELD;
		if (READ_ONCE(member->is_spilled))
			info->state |= UMC_STATE_SPILLED;
		info->mark = member->mark;
		info->asking = atomic_read(&member->hook->asking);
	}
	spin_unlock(&group->lock);
	return err;
}

static void umc_show(struct seq_file *m, const char *name, const struct umc_stats *stats)
{
	u32 i;

	seq_printf(m, "%s direct %llu multicast %llu copies %llu received %llu dropped %llu spilled %llu",
		   name, stats->direct, stats->multicast, stats->copies, stats->received,
		   stats->dropped, stats->spilled);
	for (i = 1; i < UMC_ASKED_REASONS; i++)
		if (stats->asked[i])
			seq_printf(m, " %s %llu", umc_reasons[i], stats->asked[i]);
	seq_putc(m, '\n');
}

static int umc_listing_show(struct seq_file *m, void *unused)
{
	struct umc_group *group = m->private;
	struct umc_stats stats;
	int reader = srcu_read_lock(&umc_srcu);
	char name[16];
	u32 i;

	umc_stats_sum(group, &stats);
	umc_show(m, "group", &stats);
	for (i = 0; i < READ_ONCE(group->top); i++) {
		struct umc_member *member = srcu_dereference(group->table[i], &umc_srcu);

		if (!member || READ_ONCE(member->dead))
			continue;
		memset(&stats, 0, sizeof(stats));
		umc_stats_add(&stats, member);
		snprintf(name, sizeof(name), "%u", i);
		umc_show(m, name, &stats);
	}
	srcu_read_unlock(&umc_srcu, reader);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(umc_listing);

/* One file a group, by its number; the file's removal waits for readers. */
void umc_debugfs_add(struct umc_group *group)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", group->id);
	group->debugfs = debugfs_create_file(name, 0400, umc_debugfs, group, &umc_listing_fops);
}

void umc_debugfs_remove(struct umc_group *group)
{
	debugfs_remove(group->debugfs);
}

void umc_debugfs_init(void)
{
	umc_debugfs = debugfs_create_dir(KBUILD_MODNAME, NULL);
}

void umc_debugfs_exit(void)
{
	debugfs_remove(umc_debugfs);
}
