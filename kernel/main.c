// SPDX-License-Identifier: GPL-2.0
/* The device. */

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "umc.h"

static long umc_device_create(void __user *argument)
{
	struct umc_create create;

	if (copy_from_user(&create, argument, sizeof(create)))
		return -EFAULT;
	return umc_group_create(&create);
}

static long umc_device_join(void __user *argument)
{
	struct umc_join join;
	int err;

	if (copy_from_user(&join, argument, sizeof(join)))
		return -EFAULT;
	err = umc_dgram_join(&join);
	if (!err && copy_to_user(argument, &join, sizeof(join)))
		err = -EFAULT;
	return err;
}

static long umc_device_leave(void __user *argument)
{
	struct umc_leave leave;

	if (copy_from_user(&leave, argument, sizeof(leave)))
		return -EFAULT;
	return umc_dgram_leave(&leave);
}

static long umc_device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *argument = (void __user *)arg;

	switch (cmd) {
	case UMC_GET_VERSION:
		return put_user(UMC_VERSION, (u32 __user *)argument);
	case UMC_CREATE:
		return umc_device_create(argument);
	case UMC_JOIN:
		return umc_device_join(argument);
	case UMC_LEAVE:
		return umc_device_leave(argument);
	}
	return -ENOTTY;
}

static const struct file_operations umc_device_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = umc_device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice umc_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "unix_multicast",
	.fops = &umc_device_fops,
	.mode = 0666,
};

static int __init umc_init(void)
{
	int err;

	err = umc_hooks_init();
	if (err)
		return err;
	err = umc_calls_init();
	if (err)
		return err;
	err = umc_wakers_init();
	if (err) {
		umc_calls_exit();
		return err;
	}
	umc_debugfs_init();
	err = misc_register(&umc_device);
	if (err) {
		umc_debugfs_exit();
		umc_wakers_exit();
		umc_calls_exit();
	}
	return err;
}

static void __exit umc_exit(void)
{
	misc_deregister(&umc_device);
	umc_debugfs_exit();
	umc_wakers_exit();
	umc_reap_all();
	umc_calls_exit();
	rcu_barrier();
	/* Wait for callers still inside our data_ready of a socket that is no longer a member. */
	synchronize_rcu_tasks();
}

module_init(umc_init);
module_exit(umc_exit);
MODULE_LICENSE("GPL");
MODULE_VERSION(UMC_RELEASE_NAME);
MODULE_DESCRIPTION("Multicast groups of AF_UNIX sockets");
MODULE_ALIAS("devname:unix_multicast");
