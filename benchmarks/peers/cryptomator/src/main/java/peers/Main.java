package peers;

import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.concurrent.CountDownLatch;
import org.cryptomator.cryptofs.CryptoFileSystemProperties;
import org.cryptomator.cryptofs.CryptoFileSystemProvider;
import org.cryptomator.cryptolib.api.MasterkeyLoader;
import org.cryptomator.cryptolib.common.MasterkeyFileAccess;
import org.cryptomator.integrations.mount.Mount;
import org.cryptomator.integrations.mount.MountService;

/**
 * Serves a vault with the official libraries, as the desktop program does, but without its window.
 *
 * <pre>
 * init  VAULT PASSWORD-FILE
 * mount VAULT MOUNTPOINT PASSWORD-FILE    (stays in the foreground; SIGTERM unmounts)
 * </pre>
 */
public final class Main {
	private static final String MASTERKEY_FILE = "masterkey.cryptomator";
	private static final URI KEY_ID = URI.create("masterkeyfile:" + MASTERKEY_FILE);

	public static void main(String[] args) throws Exception {
		switch (args.length == 0 ? "" : args[0]) {
			case "init" -> init(Path.of(args[1]), Path.of(args[2]));
			case "mount" -> mount(Path.of(args[1]), Path.of(args[2]), Path.of(args[3]));
			default -> {
				System.err.println("usage: init VAULT PASSWORD-FILE | mount VAULT MOUNTPOINT PASSWORD-FILE");
				System.exit(2);
			}
		}
		System.exit(0);
	}

	private static void init(Path vault, Path passwordFile) throws Exception {
		Files.createDirectories(vault);
		SecureRandom random = SecureRandom.getInstanceStrong();
		MasterkeyFileAccess access = new MasterkeyFileAccess(new byte[0], random);
		try (var masterkey = org.cryptomator.cryptolib.api.Masterkey.generate(random)) {
			access.persist(masterkey, vault.resolve(MASTERKEY_FILE), Files.readString(passwordFile).strip());
		}
		CryptoFileSystemProvider.initialize(vault, properties(vault, access, passwordFile), KEY_ID);
	}

	private static void mount(Path vault, Path mountpoint, Path passwordFile) throws Exception {
		MasterkeyFileAccess access = new MasterkeyFileAccess(new byte[0], SecureRandom.getInstanceStrong());
		MountService service = MountService.get()
				.filter(s -> s.getClass().getSimpleName().equals("LinuxFuseMountProvider"))
				.findFirst().orElseThrow(() -> new IllegalStateException("libfuse3 is not usable"));
		var fileSystem = CryptoFileSystemProvider.newFileSystem(vault, properties(vault, access, passwordFile));
		Mount mount = service.forFileSystem(fileSystem.getPath("/"))
				.setMountpoint(mountpoint)
				.setMountFlags(service.getDefaultMountFlags())
				.mount();
		CountDownLatch stop = new CountDownLatch(1);
		CountDownLatch stopped = new CountDownLatch(1);
		Runtime.getRuntime().addShutdownHook(new Thread(() -> {
			stop.countDown();
			try {
				stopped.await();
			} catch (InterruptedException e) {
				Thread.currentThread().interrupt();
			}
		}));
		System.out.println("mounted");
		stop.await();
		try {
			mount.unmount();
			mount.close();
			fileSystem.close();
		} finally {
			stopped.countDown();
		}
	}

	private static CryptoFileSystemProperties properties(Path vault, MasterkeyFileAccess access, Path passwordFile) {
		MasterkeyLoader loader = ignored -> {
			try {
				return access.load(vault.resolve(MASTERKEY_FILE), Files.readString(passwordFile).strip());
			} catch (java.io.IOException e) {
				throw new org.cryptomator.cryptolib.api.MasterkeyLoadingFailedException("masterkey file", e);
			}
		};
		return CryptoFileSystemProperties.cryptoFileSystemProperties().withKeyLoader(loader).build();
	}
}
