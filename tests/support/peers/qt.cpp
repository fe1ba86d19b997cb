// QtDBus.
#include <QtCore/QCoreApplication>
#include <QtCore/QSocketNotifier>
#include <QtDBus/QtDBus>

#include <cstdio>
#include <unistd.h>

static const QString PATH = "/org/omnibus/Peer";
static const QString INTERFACE = "org.omnibus.Peer";
static const QString ERROR = "org.omnibus.Error.Expected";
static const QString TEXT = "grüß dich";
static const QList<int> NUMBERS = {1, -2, 3};

static void check(const char *what, bool right)
{
	if (!right) {
		std::printf("%s: not as expected\n", what);
		std::exit(1);
	}
}

struct Pipe {
	int ends[2];

	Pipe()
	{
		check("pipe", pipe(ends) == 0);
	}

	~Pipe()
	{
		close(ends[0]);
		closeWriter();
	}

	void closeWriter()
	{
		if (ends[1] >= 0)
			close(ends[1]);
		ends[1] = -1;
	}
};

static void writeTo(int descriptor, const QString &text)
{
	QByteArray bytes = text.toUtf8();
	check("write", write(descriptor, bytes.constData(), bytes.size()) == bytes.size());
}

static QString readFrom(int descriptor)
{
	char bytes[1000];
	ssize_t count = read(descriptor, bytes, sizeof(bytes));
	check("read", count >= 0);
	return QString::fromUtf8(bytes, count);
}

class Service : public QObject, protected QDBusContext {
	Q_OBJECT
	Q_CLASSINFO("D-Bus Interface", "org.omnibus.Peer")

public slots:
	QString Echo(const QString &text, const QList<int> &numbers, QList<int> &sameNumbers)
	{
		sameNumbers = numbers;
		return text;
	}

	void Fail()
	{
		sendErrorReply(ERROR, TEXT);
	}

	void Announce(const QString &text)
	{
		emit Announced(text);
	}

	void Write(const QDBusUnixFileDescriptor &descriptor, const QString &text)
	{
		writeTo(descriptor.fileDescriptor(), text);
	}

	QDBusUnixFileDescriptor Open(const QString &text)
	{
		Pipe pipe;
		writeTo(pipe.ends[1], text);
		return QDBusUnixFileDescriptor(pipe.ends[0]);
	}

signals:
	void Announced(const QString &text);
};

class Receiver : public QObject {
	Q_OBJECT

public:
	QStringList received;

public slots:
	void announced(const QString &text)
	{
		received << text;
	}
};

static int serve(QDBusConnection &bus, const QString &name)
{
	Service service;
	QSocketNotifier input(STDIN_FILENO, QSocketNotifier::Read);

	QObject::connect(&input, &QSocketNotifier::activated, qApp, &QCoreApplication::quit);
	check("registerObject",
	      bus.registerObject(PATH, &service,
	                         QDBusConnection::ExportAllSlots | QDBusConnection::ExportAllSignals));
	check("registerService", bus.registerService(name));
	std::puts("ready");
	std::fflush(stdout);
	return QCoreApplication::exec();
}

static int call(QDBusConnection &bus, const QString &name)
{
	auto ask = [&](const QString &member, const QVariantList &arguments) {
		QDBusMessage message = QDBusMessage::createMethodCall(name, PATH, INTERFACE, member);
		message.setArguments(arguments);
		return bus.call(message, QDBus::Block, 20000);
	};

	QDBusMessage echo = ask("Echo", {TEXT, QVariant::fromValue(NUMBERS)});
	check("Echo", echo.arguments().size() == 2 && echo.arguments()[0].toString() == TEXT &&
	                  qdbus_cast<QList<int>>(echo.arguments()[1]) == NUMBERS);
	QDBusMessage failed = ask("Fail", {});
	check("Fail", failed.errorName() == ERROR && failed.errorMessage() == TEXT);

	Receiver receiver;
	check("connect",
	      bus.connect(name, PATH, INTERFACE, "Announced", &receiver, SLOT(announced(QString))));
	check("Announce", ask("Announce", {TEXT}).type() == QDBusMessage::ReplyMessage);
	while (receiver.received.isEmpty())
		QCoreApplication::processEvents(QEventLoop::WaitForMoreEvents);
	check("Announced", receiver.received == QStringList(TEXT));

	Pipe pipe;
	QDBusMessage written =
	    ask("Write", {QVariant::fromValue(QDBusUnixFileDescriptor(pipe.ends[1])), TEXT});
	pipe.closeWriter();
	check("Write", written.type() == QDBusMessage::ReplyMessage && readFrom(pipe.ends[0]) == TEXT);
	QDBusMessage opened = ask("Open", {TEXT});
	check("Open", opened.arguments().size() == 1 &&
	                  readFrom(opened.arguments()[0].value<QDBusUnixFileDescriptor>().fileDescriptor()) ==
	                      TEXT);
	std::puts("ok");
	return 0;
}

int main(int count, char **arguments)
{
	QCoreApplication application(count, arguments);
	QDBusConnection bus = QDBusConnection::connectToBus(qEnvironmentVariable("DBUS_SESSION_BUS_ADDRESS"), "bus");

	qDBusRegisterMetaType<QList<int>>();
	check("connectToBus", bus.isConnected());
	if (arguments[1] == QString("service"))
		return serve(bus, arguments[2]);
	return call(bus, arguments[2]);
}

#include "qt.moc"
