// SPDX-License-Identifier: GPL-2.0
/*
 * Bursts, who is woken: a sender that has sent several messages without sleeping
 * is not done yet, most likely, and each receiver that it wakes runs instead of
 * it, for one message.  Their wake-ups are put off until it sleeps: a thread of
 * the lowest priority, bound to its CPU, then has that.
 *
 * It may not sleep, or the CPU be busy otherwise.  A timer looks, in a softirq, whether
 * a burst still goes on; if not, it wakes them, at most 200 us after the last message.
 * After a millisecond it does in any case.
 */

#include <linux/hrtimer.h>
#include <linux/kthread.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>

#include "umc.h"

#define UMC_LOOK_NS	80000		/* two of them, and it is found that a burst is over */
#define UMC_LOOKS	12		/* while it goes on */
/* Receivers that are woken one after another without a pause; the next come after that. */
#define UMC_WOKEN	64
#define UMC_PAUSE_NS	20000

static unsigned int run_long = 3;
module_param(run_long, uint, 0644);
MODULE_PARM_DESC(run_long, "messages without sleep after which receivers are woken later; 0: never");

struct umc_waker {
	spinlock_t lock;		/* softirqs take it */
	struct list_head members;	/* to be woken, each with a reference */
	bool armed;			/* the timer will look at the list */
	u32 looks;			/* since there was something on it */
	bool sending;			/* without lock: a burst went on since the last look */
	struct task_struct *thread;	/* NULL: this CPU was not there */
	struct hrtimer timer;
	unsigned long later;		/* wake-ups that were put off */
	unsigned long overdue;		/* those that the timer had to send */
};

static DEFINE_PER_CPU(struct umc_waker, umc_wakers);

/* tx held, once for each message: is the sender in the middle of a burst? */
bool umc_in_burst(struct umc_hook *hook)
{
	unsigned int most = READ_ONCE(run_long);

	if (hook->runner != current || hook->switches != current->nvcsw) {
		hook->last_run = hook->run;
		hook->run = 0;
		hook->runner = current;
		hook->switches = current->nvcsw;
	}
	hook->run++;
	if (!most || (hook->run <= most && hook->last_run <= most))
		return false;
	this_cpu_write(umc_wakers.sending, true);
	return true;
}

/* A sender that finds it set has queued its message before the reader is woken. */
static void umc_wake(struct umc_member *member)
{
	/* Fully ordered: pairs with umc_wake_later(). */
	atomic_xchg(&member->later, 0);
	umc_data_ready(member->sk);
	umc_member_put(member);
}

/* Return: is the list empty? */
static bool umc_wake_some(struct umc_waker *waker, unsigned long *count)
{
	struct umc_member *member;
	u32 i;

	for (i = 0; i < UMC_WOKEN; i++) {
		spin_lock_bh(&waker->lock);
		member = list_first_entry_or_null(&waker->members, struct umc_member, waking);
		if (member) {
			list_del(&member->waking);
			if (count)
				++*count;
		}
		spin_unlock_bh(&waker->lock);
		if (!member)
			return true;
		umc_wake(member);
	}
	return false;
}

/* It is on no list so far, and later is set. */
void umc_wake_add(struct umc_member *member)
{
	struct umc_waker *waker;
	bool first;

	kref_get(&member->ref);
	waker = get_cpu_ptr(&umc_wakers);
	spin_lock_bh(&waker->lock);
	first = list_empty(&waker->members);
	list_add_tail(&member->waking, &waker->members);
	waker->later++;
	if (first)
		waker->looks = 0;
	if (!waker->armed) {
		waker->armed = true;
		hrtimer_start(&waker->timer, ns_to_ktime(UMC_LOOK_NS),
			      HRTIMER_MODE_REL_PINNED_SOFT);
	}
	spin_unlock_bh(&waker->lock);
	if (first && waker->thread)
		wake_up_process(waker->thread);
	put_cpu_ptr(&umc_wakers);
}

static enum hrtimer_restart umc_wake_overdue(struct hrtimer *timer)
{
	struct umc_waker *waker = container_of(timer, struct umc_waker, timer);
	bool done;

	if (READ_ONCE(waker->sending) && ++waker->looks < UMC_LOOKS) {
		WRITE_ONCE(waker->sending, false);
		hrtimer_forward_now(timer, ns_to_ktime(UMC_LOOK_NS));
		return HRTIMER_RESTART;
	}
	done = umc_wake_some(waker, &waker->overdue);
	spin_lock(&waker->lock);
	done = done && list_empty(&waker->members);
	if (done)
		waker->armed = false;
	spin_unlock(&waker->lock);
	if (done)
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(UMC_PAUSE_NS));
	return HRTIMER_RESTART;
}

/* One receiver after another would run instead of this thread, and be woken from it again. */
static int umc_waker_run(void *data)
{
	struct umc_waker *waker = data;

	while (!kthread_should_stop()) {
		set_current_state(TASK_IDLE);
		if (list_empty_careful(&waker->members) && !kthread_should_stop())
			schedule();
		__set_current_state(TASK_RUNNING);
		preempt_disable();
		umc_wake_some(waker, NULL);
		preempt_enable();
		cond_resched();
	}
	return 0;
}

static int umc_waker_start(struct umc_waker *waker, unsigned int cpu)
{
	struct task_struct *thread;

	thread = kthread_create_on_node(umc_waker_run, waker, cpu_to_node(cpu), "umc/%u", cpu);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	kthread_bind(thread, cpu);
	set_user_nice(thread, MAX_NICE);
	waker->thread = thread;
	wake_up_process(thread);
	return 0;
}

/* No socket is hooked any more: nothing is put off after this. */
void umc_wakers_exit(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct umc_waker *waker = per_cpu_ptr(&umc_wakers, cpu);

		if (waker->thread)
			kthread_stop(waker->thread);
		hrtimer_cancel(&waker->timer);
		while (!umc_wake_some(waker, NULL))
			;
	}
}

int __init umc_wakers_init(void)
{
	unsigned int cpu;
	int err = 0;

	for_each_possible_cpu(cpu) {
		struct umc_waker *waker = per_cpu_ptr(&umc_wakers, cpu);

		spin_lock_init(&waker->lock);
		INIT_LIST_HEAD(&waker->members);
		umc_hrtimer_init(&waker->timer, umc_wake_overdue, HRTIMER_MODE_REL_PINNED_SOFT);
	}
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		err = umc_waker_start(per_cpu_ptr(&umc_wakers, cpu), cpu);
		if (err)
			break;
	}
	cpus_read_unlock();
	if (err)
		umc_wakers_exit();
	return err;
}

/* A counter of all CPUs together. */
static int umc_counter_get(char *buffer, const struct kernel_param *param)
{
	unsigned long sum = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		void *waker = per_cpu_ptr(&umc_wakers, cpu);

		sum += READ_ONCE(*(unsigned long *)(waker + (unsigned long)param->arg));
	}
	return scnprintf(buffer, PAGE_SIZE, "%lu\n", sum);
}

static const struct kernel_param_ops umc_counter_ops = { .get = umc_counter_get };
module_param_cb(later, &umc_counter_ops, (void *)offsetof(struct umc_waker, later), 0444);
MODULE_PARM_DESC(later, "how many wake-ups were put off");
module_param_cb(overdue, &umc_counter_ops, (void *)offsetof(struct umc_waker, overdue), 0444);
MODULE_PARM_DESC(overdue, "how many of these a timer had to send, since the sender did not sleep");
