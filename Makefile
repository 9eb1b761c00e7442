# SPDX-License-Identifier: MIT
# anew: one file, no recursion. `make help` lists the targets.

MAKEFLAGS += -rR
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := build

ARCHES := x86_64 arm64
ARCH ?= x86_64
ifeq ($(filter $(ARCHES),$(ARCH)),)
$(error there is no architecture '$(ARCH)'; ARCH is one of: $(ARCHES))
endif
B := build
OUT := $(B)/$(ARCH)
GEN := $(B)/gen
DEPS_DIR := $(B)/deps

# The architecture's name in GNU's tools and in EFI's.
CPU_x86_64 := x86_64
CPU_arm64 := aarch64
CPU := $(CPU_$(ARCH))

TOOL := $(CPU)-linux-gnu-
CC := $(TOOL)gcc
LD := $(TOOL)ld
OBJCOPY := $(TOOL)objcopy
OBJDUMP := $(TOOL)objdump
# Nothing before `make deps`, when there is no compiler to ask.
CC_INCLUDE := $(shell $(CC) -print-file-name=include 2>/dev/null || :)
CC_VERSION := $(shell $(CC) -dumpfullversion 2>/dev/null || :)
HOSTCC := gcc
HOSTAR := ar
FUZZCC := clang-14
CLANG_FORMAT := clang-format-14
IASL := iasl

# Nothing in a product may depend on when or where it was built.
export SOURCE_DATE_EPOCH := 0
export LC_ALL := C

find = $(sort $(foreach dir,$(1),$(if $(wildcard $(dir)),$(shell find $(dir) -name '$(2)'))))

# ---- packages ----

# Debian packages that building and testing needs; the one list of them.
PACKAGES := gcc binutils make xz-utils dpkg-dev libc6-dev gnu-efi newlib-source acpica-tools \
	gcc-aarch64-linux-gnu binutils-aarch64-linux-gnu libc6-dev-arm64-cross libcmocka-dev \
	clang-14 libclang-rt-14-dev clang-format-14 ovmf qemu-system-x86 qemu-efi-aarch64 \
	qemu-system-arm device-tree-compiler mtools dosfstools fdisk python3 cpio libzydis-dev \
	sbsigntool openssl python3-cryptography python3-importlib-resources python3-pefile

.PHONY: deps
deps:
	@missing=""; \
	for p in $(PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}' "$$p" 2>/dev/null | grep -qx installed || \
			missing="$$missing $$p"; \
	done; \
	if [ -z "$$missing" ]; then echo "all packages are installed"; exit 0; fi; \
	sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	$$sudo apt-get update && \
	DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y --no-install-recommends $$missing

# A private apt root for sources and for packages of the other architecture, without touching the
# machine's configuration. Sources are trixie's, as not every mirror still has bookworm's.
APT_ROOT := $(B)/apt-deps
APT_OPTIONS = -o Dir::Etc::sourcelist=$(CURDIR)/$(APT_ROOT)/sources.list \
	-o Dir::Etc::sourceparts=- -o Dir::State::Lists=$(CURDIR)/$(APT_ROOT)/lists \
	-o Dir::Cache=$(CURDIR)/$(APT_ROOT)/cache -o APT::Sandbox::User= -q \
	-o APT::Architectures::=amd64 -o APT::Architectures::=arm64
APT_GET = apt-get $(APT_OPTIONS)

# The mirror is the machine's own for its Debian suites.
$(APT_ROOT)/stamp:
	@rm -rf $(APT_ROOT); mkdir -p $(APT_ROOT)/lists/partial $(APT_ROOT)/cache/archives/partial
	@uri=$$(apt-get indextargets --format '$$(REPO_URI) $$(CODENAME) $$(RELEASE)' | \
		awk '/ bookworm( |$$)/ && /debian\/? / {print $$1; exit}'); \
	key=/usr/share/keyrings/debian-archive-keyring.gpg; \
	[ -n "$$uri" ] || { echo "this machine's apt names no Debian archive for bookworm" >&2; exit 1; }; \
	{ echo "deb-src [signed-by=$$key] $$uri trixie main"; \
		echo "deb [arch=arm64 signed-by=$$key] $$uri bookworm main"; } > $(APT_ROOT)/sources.list
	$(APT_GET) update
	@touch $@

INIH_DIR := $(DEPS_DIR)/inih
INIH_FLAGS := -isystem $(INIH_DIR) -DINI_HANDLER_LINENO=1 -DINI_STOP_ON_FIRST_ERROR=0 \
	-DINI_CALL_HANDLER_ON_NEW_SECTION=1 -DINI_MAX_LINE=1200 -DINI_ALLOW_MULTILINE=0 \
	-DINI_ALLOW_INLINE_COMMENTS=0 -DINI_API=

$(INIH_DIR)/ini.c: $(APT_ROOT)/stamp
	@rm -rf $(INIH_DIR) $(DEPS_DIR)/inih.tmp; mkdir -p $(INIH_DIR) $(DEPS_DIR)/inih.tmp
	cd $(DEPS_DIR)/inih.tmp && $(APT_GET) source --download-only libinih
	tar -xf $(DEPS_DIR)/inih.tmp/*.orig.tar.* -C $(INIH_DIR) --strip-components=1
	@rm -rf $(DEPS_DIR)/inih.tmp; touch $@

# libfdt, of the source package of dtc. --only-source, as the name is a binary package's as well, of
# which the machine may have another version.
FDT_DIR := $(DEPS_DIR)/libfdt
FDT_FLAGS := -isystem $(FDT_DIR)
FDT_NAMES := fdt fdt_addresses fdt_check fdt_ro fdt_rw fdt_strerror fdt_sw fdt_wip

$(FDT_DIR)/libfdt.h: $(APT_ROOT)/stamp
	@rm -rf $(FDT_DIR) $(DEPS_DIR)/dtc.tmp; mkdir -p $(FDT_DIR) $(DEPS_DIR)/dtc.tmp
	cd $(DEPS_DIR)/dtc.tmp && $(APT_GET) source --only-source --tar-only --download-only device-tree-compiler
	tar -xf $(DEPS_DIR)/dtc.tmp/*.orig.tar.* -C $(FDT_DIR) --strip-components=2 \
		--wildcards '*/libfdt/*.[ch]'
	@rm -rf $(DEPS_DIR)/dtc.tmp; touch $@

$(FDT_NAMES:%=$(FDT_DIR)/%.c): | $(FDT_DIR)/libfdt.h ;

# gnu-efi: the start of an EFI application and EFI's headers. The machine's own package has them for
# x86_64 alone.
GNU_EFI_x86_64 := /usr
GNU_EFI_arm64 := $(DEPS_DIR)/gnu-efi-arm64/usr
GNU_EFI := $(GNU_EFI_$(ARCH))
EFI_CRT := $(GNU_EFI)/lib/crt0-efi-$(CPU).o
includes_efi = -isystem $(GNU_EFI_$(1))/include/efi -isystem $(GNU_EFI_$(1))/include/efi/$(CPU_$(1)) \
	-DGNU_EFI_USE_MS_ABI

$(GNU_EFI_arm64)/lib/%: $(APT_ROOT)/stamp
	@rm -rf $(DEPS_DIR)/gnu-efi-arm64; mkdir -p $(DEPS_DIR)/gnu-efi-arm64
	cd $(DEPS_DIR)/gnu-efi-arm64 && $(APT_GET) download gnu-efi:arm64
	dpkg-deb -x $(DEPS_DIR)/gnu-efi-arm64/gnu-efi_*.deb $(DEPS_DIR)/gnu-efi-arm64
	@touch $(GNU_EFI_arm64)/lib/*

# ---- newlib: the C library inside the hypervisor ----

NEWLIB_SOURCE := /usr/src/newlib/newlib-3.3.0.tar.xz
NEWLIB_DIR := $(B)/newlib/$(ARCH)
NEWLIB_LIB := $(NEWLIB_DIR)/$(CPU)-none-elf/lib/libc.a
NEWLIB_INCLUDE := $(NEWLIB_DIR)/$(CPU)-none-elf/include

# What every object in an image is compiled with: it may run while a guest's vector registers are
# in place. arm64: neither calls to a library for atomics, nor accesses that fault on memory of the
# type Device.
ABI_x86_64 := -mno-red-zone
ABI_arm64 := -mstrict-align -mno-outline-atomics
ABI := $(ABI_$(ARCH))

# The C versions of what newlib also has in assembly, which uses vector registers. Functions that
# take floating point can't do without them, all others must. It asks for sbrk(), not _sbrk().
NEWLIB_CC := $(CURDIR)/tools/cc-general-regs $(CC)
NEWLIB_CFLAGS := -O2 -g0 -ffreestanding -fno-stack-protector -fpic -fvisibility=hidden \
	-fshort-wchar -ffunction-sections -fdata-sections -DPREFER_SIZE_OVER_SPEED \
	-D__OPTIMIZE_SIZE__ -DNO_FLOATING_POINT -DMISSING_SYSCALL_NAMES $(ABI)
NEWLIB_CONFIG := --target=$(CPU)-none-elf --disable-multilib --disable-libgloss \
	--disable-newlib-supplied-syscalls --enable-newlib-nano-malloc \
	--enable-newlib-io-c99-formats --enable-newlib-io-long-long --enable-lite-exit \
	--disable-newlib-fvwrite-in-streamio --disable-newlib-wide-orient \
	--disable-newlib-unbuf-stream-opt --disable-nls
NEWLIB_KEY := $(shell { echo '$(NEWLIB_CONFIG) $(NEWLIB_CFLAGS)'; echo $(CC_VERSION); \
	cat tools/cc-general-regs; } | sha256sum | cut -c1-12)
NEWLIB_STAMP := $(NEWLIB_DIR)/stamp-$(NEWLIB_KEY)

$(NEWLIB_STAMP):
	@echo "  NEWLIB    $(NEWLIB_DIR) (about a minute)"
	@test -f $(NEWLIB_SOURCE) || { echo "$(NEWLIB_SOURCE) is missing: make deps" >&2; exit 1; }
	@rm -rf $(NEWLIB_DIR); mkdir -p $(NEWLIB_DIR)/src $(NEWLIB_DIR)/obj
	@tar -xf $(NEWLIB_SOURCE) -C $(NEWLIB_DIR)/src --strip-components=1
	@while sleep 4 > /dev/null 2>&1; do \
		echo "  NEWLIB      $$(find $(NEWLIB_DIR)/obj -name '*.o' | wc -l) files so far"; \
	done & trap "kill $$!" EXIT; \
	cd $(NEWLIB_DIR)/obj && { ../src/configure --prefix=$(CURDIR)/$(NEWLIB_DIR) \
		$(NEWLIB_CONFIG) CC_FOR_TARGET='$(NEWLIB_CC)' AR_FOR_TARGET=$(TOOL)ar \
		RANLIB_FOR_TARGET=$(TOOL)ranlib AS_FOR_TARGET=$(TOOL)as NM_FOR_TARGET=$(TOOL)nm \
		READELF_FOR_TARGET=$(TOOL)readelf STRIP_FOR_TARGET=$(TOOL)strip \
		OBJDUMP_FOR_TARGET=$(OBJDUMP) \
		CFLAGS_FOR_TARGET='$(NEWLIB_CFLAGS)' && \
		env -u MAKEFLAGS -u MFLAGS $(MAKE) -j2 MAKEINFO=true all-target-newlib && \
		env -u MAKEFLAGS -u MFLAGS $(MAKE) MAKEINFO=true install-target-newlib; \
		} > ../build.log 2>&1 || { tail -n 30 ../build.log >&2; exit 1; }
	@rm -rf $(NEWLIB_DIR)/src $(NEWLIB_DIR)/obj
	@touch $@

.PHONY: newlib
newlib: $(NEWLIB_STAMP)

# ---- generated headers ----

# AML that iasl made of each source, as `static const unsigned char NAME_aml[]`.
ASL := $(call find,firmware/guest/acpi,*.asl)
AML_HEADERS := $(patsubst firmware/guest/acpi/%.asl,$(GEN)/%_aml.h,$(ASL))

$(GEN)/%_aml.h: firmware/guest/acpi/%.asl
	@echo "  IASL      $@"
	@mkdir -p $(@D)
	@$(IASL) -vs -we -p $(GEN)/$* $< > $(GEN)/$*.log 2>&1 || { cat $(GEN)/$*.log >&2; exit 1; }
	@{ echo "/* Made from $<. */"; \
		echo "static const unsigned char $(notdir $*)_aml[] = {"; \
		od -An -v -tx1 $(GEN)/$*.aml | sed 's/ \(..\)/0x\1,/g'; echo "};"; } > $@

# ---- flags ----

WARNINGS := -Wall -Wextra -Wconversion -Wmissing-prototypes -Werror
GENERIC_INCLUDES = -Ihv/include -Ihv -Idevices/include -Ifirmware/guest/include -I$(GEN)

# What a part of the tree may see, $(1) being the architecture it is built for.
includes_devices = -Ihv/include -Idevices/include
includes_hv = $(GENERIC_INCLUDES) -Iarch/$(1)/include $(INIH_FLAGS) $(FDT_FLAGS)
includes_arch = $(GENERIC_INCLUDES) -Iarch/$(1)/include -Iarch/$(1) $(FDT_FLAGS)
includes_firmware_host = $(GENERIC_INCLUDES) -Iarch/$(1)/include $(call includes_efi,$(1))

CFLAGS := -std=gnu11 -O2 -fomit-frame-pointer -g $(WARNINGS) -ffreestanding -fshort-wchar -fpic -fvisibility=hidden \
	-fno-stack-protector -fno-strict-aliasing -fno-asynchronous-unwind-tables \
	-ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)=. -mgeneral-regs-only $(ABI) \
	-nostdinc -isystem $(CC_INCLUDE) -isystem $(NEWLIB_INCLUDE)

HOST_CFLAGS := -std=gnu11 -O1 -g -DLOCK_CHECK $(WARNINGS) -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all
# Of the tests whose processors are threads.
TSAN_CFLAGS := -std=gnu11 -O1 -g -DLOCK_CHECK $(WARNINGS) -fno-omit-frame-pointer -fsanitize=thread
FUZZ_CFLAGS := -std=gnu11 -O1 -g -DLOCK_CHECK $(WARNINGS) -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

BUILD_ID := $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)

# Touched only when the id changes.
.PHONY: force
$(B)/build-id: force
	@mkdir -p $(@D)
	@echo '$(BUILD_ID)' | cmp -s - $@ || echo '$(BUILD_ID)' > $@

# ---- the image ----

HV_SOURCES := $(call find,hv,*.c)
DEVICES_SOURCES := $(call find,devices,*.c)
GUEST_SOURCES := $(call find,firmware/guest,*.c)
# What of the firmware to the guest only one architecture has; all else is for every one.
GUEST_ONLY_x86_64 := $(addprefix firmware/guest/,acpi/acpi_x86.c boot/x86/%)
GUEST_ONLY_arm64 := $(addprefix firmware/guest/,acpi/acpi_arm64.c fdt/% boot/efi.c boot/image.c)
GUEST_OTHERS := $(foreach arch,$(filter-out $(ARCH),$(ARCHES)),$(GUEST_ONLY_$(arch)))
ARCH_SOURCES := $(call find,arch/$(ARCH),*.c) $(call find,arch/$(ARCH),*.S)
HOST_SOURCES := $(filter-out firmware/host/arch_%,$(wildcard firmware/host/*.c)) \
	firmware/host/arch_$(ARCH).c
PRODUCT_SOURCES := $(HV_SOURCES) $(DEVICES_SOURCES) $(filter-out $(GUEST_OTHERS),$(GUEST_SOURCES)) \
	$(ARCH_SOURCES) $(HOST_SOURCES)
# Other people's code, by the names of its files.
PRODUCT_DEPS_arm64 := $(FDT_NAMES)
PRODUCT_DEPS := ini $(PRODUCT_DEPS_$(ARCH))
PRODUCT_OBJECTS := $(patsubst %,$(OUT)/%.o,$(basename $(PRODUCT_SOURCES))) \
	$(PRODUCT_DEPS:%=$(OUT)/deps/%.o)
IMAGE := $(OUT)/anew-$(ARCH).efi

$(OUT)/devices/%.o: INCLUDES = $(call includes_devices,$(ARCH))
$(OUT)/hv/%.o: INCLUDES = $(call includes_hv,$(ARCH))
$(OUT)/arch/%.o: INCLUDES = $(call includes_arch,$(ARCH))
$(OUT)/firmware/guest/%.o: INCLUDES = $(call includes_hv,$(ARCH))
$(OUT)/firmware/host/%.o: INCLUDES = $(call includes_firmware_host,$(ARCH))
$(OUT)/hv/version.o: INCLUDES += -DANEW_BUILD='"$(BUILD_ID)"'
$(OUT)/hv/version.o: $(B)/build-id

$(PRODUCT_OBJECTS): $(NEWLIB_STAMP)
$(PRODUCT_OBJECTS): | $(INIH_DIR)/ini.c $(FDT_DIR)/libfdt.h $(EFI_CRT)
$(filter $(OUT)/firmware/guest/acpi/%.o,$(PRODUCT_OBJECTS)): | $(AML_HEADERS)

$(OUT)/%.o: %.c Makefile
	@echo "  CC        $@"
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(INCLUDES) -MMD -MP -c $< -o $@

$(OUT)/%.o: %.S Makefile
	@echo "  AS        $@"
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(INCLUDES) -MMD -MP -c $< -o $@

# Other people's code: its warnings are not ours to fix.
$(OUT)/deps/ini.o: $(INIH_DIR)/ini.c Makefile
	@echo "  CC        $@"
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(INIH_FLAGS) -w -c $< -o $@

$(FDT_NAMES:%=$(OUT)/deps/%.o): $(OUT)/deps/%.o: $(FDT_DIR)/%.c Makefile
	@echo "  CC        $@"
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) $(FDT_FLAGS) -w -c $< -o $@

LDFLAGS := -nostdlib -znocombreloc -z defs -z noexecstack -shared -Bsymbolic --gc-sections \
	--no-undefined --exclude-libs ALL --build-id=none --no-warn-rwx-segments

# gnu-efi's, with its entry for the linker to find and its own .reloc out of the way.
$(OUT)/crt0.o: $(EFI_CRT) Makefile
	@mkdir -p $(@D)
	@$(OBJCOPY) --globalize-symbol=_start --remove-section=.reloc $< $@

# How the disassembly writes a vector register, and the functions that are there to use one.
VECTOR_x86_64 := %[xyz]mm
VECTOR_ALLOWED_x86_64 :=
VECTOR_arm64 := [\t ,{][vqdshbz][0-9]+([.,\]}[ ]|$$)
VECTOR_ALLOWED_arm64 := el2_vector_save|el2_vector_load

$(OUT)/anew.elf: $(PRODUCT_OBJECTS) $(OUT)/crt0.o firmware/host/efi.lds $(NEWLIB_STAMP)
	@echo "  LD        $@"
	@$(LD) $(LDFLAGS) -T firmware/host/efi.lds -Map=$(OUT)/anew.map $(OUT)/crt0.o $(PRODUCT_OBJECTS) \
		-L$(GNU_EFI)/lib -lgnuefi $(NEWLIB_LIB) $(shell $(CC) -print-libgcc-file-name) -o $@
	@! readelf -SW $@ | grep -E ' \.s?bss\.| COMMON' || { echo "$@: zeroed data left out" >&2; exit 1; }
	@$(OBJDUMP) -d --no-show-raw-insn $@ | awk \
		'/^[0-9a-f]+ <.*>:$$/ { name = substr($$2, 2, length($$2) - 3); next } \
		{ sub(/[0-9a-f]+ <[^>]*>/, ""); sub("//.*", "") } \
		/$(VECTOR_$(ARCH))/ && name !~ /^($(VECTOR_ALLOWED_$(ARCH)))$$/ && !seen[name]++ \
			{ print "vector registers used in " name > "/dev/stderr"; bad = 1 } \
		END { exit bad }'

$(IMAGE): $(OUT)/anew.elf
	@echo "  EFI       $@"
	@$(OBJCOPY) -j .text -j .rodata -j .data -j .dynamic -j .rela -j .reloc -j .bss --strip-all \
		--change-addresses 0x1000 --target efi-app-$(CPU) --subsystem=10 $< $@

.PHONY: build
build: $(IMAGE)
	@echo "$(IMAGE): $$(stat -c %s $(IMAGE)) bytes"

# ---- payload kernels ----

# A payload's main.c is for every architecture, its main_ARCH.c for that one; the parts of lib/ are
# called so too. arm64 boots raw images, x86_64 ELF files.
PAYLOADS := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard tests/guest/*/main.c \
	tests/guest/*/main_$(ARCH).c)))))
PAYLOAD_SUFFIX_x86_64 := elf
PAYLOAD_SUFFIX_arm64 := img
PAYLOAD_IMAGES := $(patsubst %,$(OUT)/payload/%.$(PAYLOAD_SUFFIX_$(ARCH)),$(PAYLOADS))
PAYLOAD_LIB := $(wildcard tests/guest/lib/payload.c tests/guest/lib/*_$(ARCH).[cS])
PAYLOAD_LIB_OBJECTS := $(patsubst tests/guest/%,$(OUT)/payload/%.o,$(basename $(PAYLOAD_LIB)))
PAYLOAD_LDS := tests/guest/lib/payload_$(ARCH).ld
PAYLOAD_CFLAGS := -std=gnu11 -O2 -g0 $(filter-out -Wconversion -Wmissing-prototypes,$(WARNINGS)) \
	-ffreestanding -fno-pic -mcmodel=small -fno-stack-protector -fno-asynchronous-unwind-tables \
	-mgeneral-regs-only $(ABI) -nostdinc \
	-isystem $(CC_INCLUDE) -isystem $(NEWLIB_INCLUDE) \
	-Itests/guest/lib -Ihv/include -Idevices/include \
	-DPAYLOAD_ARCH_HEADER='"payload_$(ARCH).h"' $(FDT_FLAGS)
# Other people's code for payloads, by the names of its files.
PAYLOAD_DEPS_arm64 := fdt fdt_ro

$(OUT)/payload/%.o: tests/guest/%.c Makefile $(NEWLIB_STAMP)
	@mkdir -p $(@D)
	@$(CC) $(PAYLOAD_CFLAGS) -MMD -MP -c $< -o $@

$(OUT)/payload/%.o: tests/guest/%.S Makefile
	@mkdir -p $(@D)
	@$(CC) $(PAYLOAD_CFLAGS) -MMD -MP -c $< -o $@

payload_objects = $(patsubst tests/guest/%.c,$(OUT)/payload/%.o,$(wildcard \
	tests/guest/$(1)/main.c tests/guest/$(1)/main_$(ARCH).c))
.SECONDEXPANSION:
$(OUT)/payload/%.elf: $$(call payload_objects,%) $(PAYLOAD_LIB_OBJECTS) $(PAYLOAD_LDS) \
		$(PAYLOAD_DEPS_$(ARCH):%=$(OUT)/deps/%.o)
	@echo "  PAYLOAD   $@"
	@$(LD) -nostdlib -static --gc-sections --no-warn-rwx-segments -z noexecstack -T $(PAYLOAD_LDS) \
		$(filter %.o,$^) $(NEWLIB_LIB) $(shell $(CC) -print-libgcc-file-name) -o $@

$(OUT)/payload/%.img: $(OUT)/payload/%.elf
	@$(OBJCOPY) -O binary $< $@

.PHONY: payloads
payloads: $(PAYLOAD_IMAGES)
.SECONDARY:

# ---- tests on the host ----

# Built again for the host: $(B)/host by gcc, $(B)/fuzz by clang, $(B)/tsan for threads.
PORTABLE_SOURCES := $(HV_SOURCES) $(DEVICES_SOURCES) $(GUEST_SOURCES) $(call find,arch/fake,*.c) \
	$(wildcard arch/*/decode.c) $(addprefix arch/x86_64/,fetch.c mmu.c pm_timer.c startup.c strings.c) \
	$(addprefix arch/arm64/,cpu_find.c gic_find.c) $(addprefix firmware/host/,entropy.c sha256.c) \
	$(filter-out tests/unit/test_%,$(wildcard tests/unit/*.c))
UNIT_SOURCES := $(wildcard tests/unit/test_*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)
# Headers of an architecture come last: only those that arch/fake doesn't have are found there. They
# are x86_64's, but for tests that are called NAME_arm64.c.
includes_tests = $(call includes_hv,fake) -Iarch/fake -Iarch/$(1)/include -Ifirmware/host -Itests/unit

host_objects = $(patsubst %.c,$(1)/%.o,$(PORTABLE_SOURCES)) $(patsubst %,$(1)/deps/%.o,ini $(FDT_NAMES))

# $(1): directory, $(2): compiler, $(3): flags
define host_rules
$(1)/devices/%.o: INCLUDES = $$(call includes_devices,fake)
$(1)/hv/%.o: INCLUDES = $$(call includes_hv,fake)
$(1)/hv/version.o: INCLUDES += -DANEW_BUILD='"host"'
$(1)/firmware/%.o: INCLUDES = $$(call includes_hv,fake)
$(1)/firmware/host/%.o: INCLUDES = $$(call includes_hv,fake) $$(call includes_efi,x86_64)
$(1)/arch/fake/%.o: INCLUDES = $$(call includes_arch,fake)
$(1)/arch/x86_64/%.o: INCLUDES = $$(call includes_arch,x86_64)
$(1)/arch/arm64/%.o: INCLUDES = $$(call includes_arch,arm64)
$(1)/tests/%.o: INCLUDES = $$(call includes_tests,x86_64)
$(1)/tests/%_arm64.o: INCLUDES = $$(call includes_tests,arm64)
$(1)/tests/unit/test_startup.o: INCLUDES = $$(call includes_arch,x86_64)
$(1)/tests/unit/test_entropy.o: INCLUDES += $$(call includes_efi,x86_64)
$(1)/tools/%.o: INCLUDES = $$(call includes_tests,x86_64)

$(1)/%.o: %.c Makefile | $$(AML_HEADERS) $$(INIH_DIR)/ini.c $$(FDT_DIR)/libfdt.h
	@echo "  HOSTCC    $$@"
	@mkdir -p $$(@D)
	@$(2) $(3) $$(INCLUDES) -MMD -MP -c $$< -o $$@

$(1)/deps/ini.o: $$(INIH_DIR)/ini.c Makefile
	@mkdir -p $$(@D)
	@$(2) $(3) $$(INIH_FLAGS) -w -c $$< -o $$@

$$(FDT_NAMES:%=$(1)/deps/%.o): $(1)/deps/%.o: $$(FDT_DIR)/%.c Makefile
	@mkdir -p $$(@D)
	@$(2) $(3) $$(FDT_FLAGS) -w -c $$< -o $$@

$(1)/libanew.a: $$(call host_objects,$(1))
	@rm -f $$@
	@$(HOSTAR) qcsD $$@ $$^
endef
$(eval $(call host_rules,$(B)/host,$(HOSTCC),$(HOST_CFLAGS)))
$(eval $(call host_rules,$(B)/fuzz,$(FUZZCC),$(FUZZ_CFLAGS)))

$(eval $(call host_rules,$(B)/tsan,$(FUZZCC),$(TSAN_CFLAGS)))

UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/host/%,$(UNIT_SOURCES))
THREAD_TESTS := $(patsubst tests/threads/%.c,$(B)/tsan/%,$(wildcard tests/threads/test_*.c))
FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(FUZZ_SOURCES))

$(UNIT_TESTS): $(B)/host/%: $(B)/host/tests/unit/%.o $(B)/host/libanew.a
	@echo "  HOSTLD    $@"
	@$(HOSTCC) $(HOST_CFLAGS) $^ -lcmocka -lZydis -o $@

$(THREAD_TESTS): $(B)/tsan/%: $(B)/tsan/tests/threads/%.o $(B)/tsan/libanew.a
	@echo "  HOSTLD    $@"
	@$(FUZZCC) $(TSAN_CFLAGS) $^ -lcmocka -lZydis -lpthread -o $@

$(FUZZ_TARGETS): $(B)/fuzz/%: $(B)/fuzz/tests/fuzz/%.o $(B)/fuzz/libanew.a
	@echo "  FUZZLD    $@"
	@$(FUZZCC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $^ -lZydis -o $@

# Runs all, or with TEST=NAME the one of that name; an executable that ends early is a failure.
TEST ?=
UNIT_ALL = $(UNIT_TESTS) $(THREAD_TESTS)
UNIT_RUN = $(if $(TEST),$(filter %/test_$(patsubst test_%,%,$(TEST)),$(UNIT_ALL)),$(UNIT_ALL))

.PHONY: test-unit
test-unit: $(UNIT_RUN)
	@passed=0; failed=0; skipped=0; \
	for t in $(UNIT_RUN); do \
		log=$$t.tap; rc=0; \
		CMOCKA_MESSAGE_OUTPUT=TAP $$t > $$log 2>&1 || rc=$$?; \
		read -r p f s < <(awk '/^(not )?ok .*# SKIP/ {s++; next} /^ok / {p++} \
			/^not ok / {f++} /^1\.\.[0-9]+/ {n += substr($$0, 4)} \
			END {if (p + f + s < n) f += n - p - f - s; print p + 0, f + 0, s + 0}' $$log); \
		if [ $$((p + f + s)) = 0 ] || { [ $$rc != 0 ] && [ $$f = 0 ]; }; then f=$$((f + 1)); fi; \
		if [ $$f != 0 ]; then echo "FAILED $$t (exit status $$rc)"; cat $$log; fi; \
		echo "  $$(basename $$t): $$p passed, $$f failed, $$s skipped"; \
		passed=$$((passed + p)); failed=$$((failed + f)); skipped=$$((skipped + s)); \
	done; \
	echo "$$passed passed, $$failed failed, $$skipped skipped"; \
	if [ $$((passed + failed)) = 0 ]; then echo "no tests matched" >&2; exit 1; fi; \
	[ $$failed = 0 ]

FUZZ_TIME ?= 5

.PHONY: fuzz
fuzz: $(FUZZ_TARGETS)
	@$(if $(FUZZ_TARGETS),,echo "no fuzz targets" >&2; exit 1;) \
	for t in $(FUZZ_TARGETS); do \
		name=$$(basename $$t); corpus=$(B)/fuzz/corpus/$$name; mkdir -p $$corpus; \
		seeds=tests/fuzz/corpus/$$name; [ -d $$seeds ] || seeds=; \
		echo "  FUZZ      $$name, $(FUZZ_TIME) s"; \
		$$t -max_total_time=$(FUZZ_TIME) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
			-artifact_prefix=$(B)/fuzz/$$name- $$corpus $$seeds > $$t.log 2>&1 || \
			{ tail -n 60 $$t.log; exit 1; }; \
		grep number_of_executed_units $$t.log; \
	done; \
	echo "$(words $(FUZZ_TARGETS)) fuzz targets passed"

$(B)/host/check_conf: $(B)/host/tools/check_conf.o $(B)/host/libanew.a
	@$(HOSTCC) $(HOST_CFLAGS) $^ -o $@

$(B)/host/anew-snap: $(B)/host/tools/anew_snap.o $(B)/host/libanew.a
	@echo "  HOSTLD    $@"
	@$(HOSTCC) $(HOST_CFLAGS) $^ -o $@

.PHONY: tools
tools: $(B)/host/anew-snap

CONF ?= anew.conf

.PHONY: check-conf
check-conf: $(B)/host/check_conf
	@$< '$(CONF)'

# ---- checks of the source ----

HEADERS := $(call find,hv devices firmware arch/fake arch/$(ARCH) tests/unit,*.h)
# gnu11 and warnings as in the product; what a header may see is what its directory may see.
header_includes = $(strip $(if $(filter devices/%,$(1)),$(call includes_devices,$(ARCH)), \
	$(if $(filter hv/include/%,$(1)),-Ihv/include, \
	$(if $(filter firmware/host/%,$(1)),$(call includes_firmware_host,$(ARCH)), \
	$(if $(filter arch/fake/%,$(1)),$(call includes_arch,fake), \
	$(if $(filter arch/%,$(1)),$(call includes_arch,$(word 2,$(subst /, ,$(1)))), \
	$(call includes_hv,$(ARCH))))))))
HEADER_CHECKS := $(patsubst %,check-header/%,$(filter-out tests/%,$(HEADERS)))
TEST_HEADER_CHECKS := $(patsubst %,check-header/%,$(filter tests/%,$(HEADERS)))

.PHONY: check-headers $(HEADER_CHECKS) $(TEST_HEADER_CHECKS)
check-headers: $(HEADER_CHECKS) $(TEST_HEADER_CHECKS)
	@echo "$(words $^) headers compile alone"
$(HEADER_CHECKS): check-header/%: $(NEWLIB_STAMP) $(INIH_DIR)/ini.c $(EFI_CRT)
	@$(CC) $(CFLAGS) $(call header_includes,$*) -fsyntax-only -include $* -x c /dev/null
$(TEST_HEADER_CHECKS): check-header/%: $(INIH_DIR)/ini.c
	@$(HOSTCC) $(HOST_CFLAGS) $(call includes_tests,x86_64) -fsyntax-only -include $* -x c /dev/null

FORMAT_SOURCES := $(call find,hv devices firmware arch tests tools,*.[ch])

.PHONY: check-format format
check-format:
	@$(CLANG_FORMAT) --dry-run -Werror $(FORMAT_SOURCES)
	@echo "$(words $(FORMAT_SOURCES)) files are formatted"
format:
	@$(CLANG_FORMAT) -i $(FORMAT_SOURCES)

# ---- the two commands of the README ----

GUEST := $(B)/guest/$(ARCH)

# Debian's kernels, and a busybox with a shell in it.
KERNELS_x86_64 := 6.12 6.1
KERNELS_arm64 := 6.12
KERNELS := $(addprefix $(GUEST)/vmlinuz-,$(KERNELS_$(ARCH)))
$(KERNELS) $(GUEST)/busybox &:
	@qemu-runner/fetch --arch $(ARCH)
$(GUEST)/initrd: $(GUEST)/busybox $(wildcard tests/demo/*)
	@tests/demo/mkinitramfs $@ $< $(CC)

# What the tests need beyond the machine's own packages: see qemu-runner/fetch.
MACHINES_x86_64 := linux-7 ptp_vmclock virt-firmware
MACHINES_arm64 := linux-7 qemu-10 firmware-trixie virt-firmware

# For the kernel that has VMClock: a program that uses it, and its driver where that is a module.
VMCLOCK_x86_64 := $(GUEST)/ptp_vmclock.ko.xz
VMCLOCK_PARTS := tests/demo/vmclock.c $(VMCLOCK_$(ARCH))
$(VMCLOCK_x86_64):
	@qemu-runner/fetch --arch x86_64 ptp_vmclock
$(GUEST)/initrd-7: $(GUEST)/busybox $(wildcard tests/demo/*) $(VMCLOCK_$(ARCH))
	@tests/demo/mkinitramfs $@ $< $(CC) $(VMCLOCK_PARTS)

# Every architecture, unless one is named.
TEST_ARCHES := $(if $(filter file,$(origin ARCH)),$(ARCHES),$(ARCH))

.PHONY: guests machines run test bench image sign
guests: $(KERNELS) $(GUEST)/initrd
machines: $(GUEST)/initrd-7
	@qemu-runner/fetch --arch $(ARCH) $(MACHINES_$(ARCH))

# The packages first: nothing else can be made without them.
run: deps
	@$(MAKE) --no-print-directory build guests
	@qemu-runner/story --arch $(ARCH)

# What is on the disk image: PATH=FILE, with the applications of folder $(1)NAME/.
BOOT_FILE_x86_64 := EFI/BOOT/BOOTX64.EFI
BOOT_FILE_arm64 := EFI/BOOT/BOOTAA64.EFI
disk_files = anew.conf=tests/demo/anew.conf $(foreach arch,$(ARCHES), \
	$(BOOT_FILE_$(arch))=$(1)$(arch)/anew-$(arch).efi \
	demo/$(arch)/vmlinuz=$(B)/guest/$(arch)/vmlinuz-$(firstword $(KERNELS_$(arch))) \
	demo/$(arch)/initrd=$(B)/guest/$(arch)/initrd)

image: deps
	@for arch in $(ARCHES); do $(MAKE) --no-print-directory ARCH=$$arch build guests; done
	@qemu-runner/mkimage $(B)/anew.img $(call disk_files,$(B)/)
	@echo "$(B)/anew.img: $$(($$(stat -c %s $(B)/anew.img) >> 20)) MiB"

# Signed by the owner of a machine with Secure Boot, whose firmware has the certificate in its db.
KEY ?=
CERT ?=
SIGNED ?= $(B)/signed
sign: deps
	@[ -f '$(KEY)' ] && [ -f '$(CERT)' ] || { \
		echo "say with which key: make sign KEY=FILE.key CERT=FILE.crt, both in PEM" >&2; exit 1; }
	@for arch in $(ARCHES); do \
		$(MAKE) --no-print-directory ARCH=$$arch build guests; \
		mkdir -p $(SIGNED)/$$arch; \
		sbsign --key '$(KEY)' --cert '$(CERT)' --output $(SIGNED)/$$arch/anew-$$arch.efi \
			$(B)/$$arch/anew-$$arch.efi; \
	done
	@qemu-runner/mkimage $(SIGNED)/anew.img $(call disk_files,$(SIGNED)/)
	@echo "$(SIGNED)/anew.img, $(foreach arch,$(ARCHES),$(SIGNED)/$(arch)/anew-$(arch).efi)"

test: deps
	@for arch in $(TEST_ARCHES); do \
		$(MAKE) --no-print-directory ARCH=$$arch build guests machines payloads; \
	done
	@$(MAKE) --no-print-directory image
	@TEST_ARCHES='$(TEST_ARCHES)' tests/all

# The system tests that take long, of one architecture after the other.
.PHONY: test-slow
test-slow: deps
	@for arch in $(TEST_ARCHES); do \
		$(MAKE) --no-print-directory ARCH=$$arch build guests machines payloads && \
		SLOW=1 tests/system/run.py $$arch || exit 1; \
	done

bench: deps
	@$(MAKE) --no-print-directory build guests payloads
	@tests/bench/run.py $(BENCH_FLAGS)

# ---- housekeeping ----

.PHONY: clean distclean help
# What takes long to make or to fetch stays; distclean takes it as well.
clean:
	rm -rf $(addprefix $(B)/,$(ARCHES)) $(B)/host $(B)/fuzz $(GEN) $(B)/build-id
distclean:
	rm -rf $(B)

help:
	@echo "make run             the whole story: boot, snapshot, restore twice, compare"
	@echo "make test            every test; ends with N passed, N failed, N skipped"
	@echo "make bench           figures, in executed instructions; BENCH_FLAGS=--save: new baseline"
	@echo "make image           $(B)/anew.img: boots a machine of either architecture"
	@echo "make sign            the same in $(SIGNED)/, signed for Secure Boot: KEY=FILE CERT=FILE"
	@echo "make deps            install the Debian packages that building and testing needs"
	@echo "make build           $(IMAGE) (the default)"
	@echo "                     ARCH=arm64 with these: for arm64 (make test: only that)"
	@echo "make test-unit       unit tests on this machine; TEST=NAME for one"
	@echo "make test-slow       the system tests that take long; ARCH=NAME for one"
	@echo "make fuzz            every fuzz target, FUZZ_TIME=$(FUZZ_TIME) seconds each"
	@echo "make check-conf      check CONF=anew.conf as the hypervisor reads it"
	@echo "make tools           $(B)/host/anew-snap: info FILE, check FILE: snapshots on disk"
	@echo "make check-headers   every header compiles alone"
	@echo "make check-format    every file is as clang-format wants it; make format makes it so"
	@echo "make clean           remove what was built; distclean: also libraries and downloads"

-include $(call find,$(OUT) $(B)/host $(B)/fuzz,*.d)
