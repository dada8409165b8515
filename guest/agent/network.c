/* Addresses and routes with the old ioctls: one address and one route need no netlink. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

static int set_up_flag(int fd, const char *interface) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
  if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) return errno;
  request.ifr_flags |= IFF_UP;
  return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? errno : 0;
}

static void set_address(struct sockaddr *to, struct in_addr address) {
  struct sockaddr_in internet = {.sin_family = AF_INET, .sin_addr = address};
  memcpy(to, &internet, sizeof internet);
}

static int add_address(int fd, const char *interface, struct in_addr address, struct in_addr mask) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
  set_address(&request.ifr_addr, address);
  if (ioctl(fd, SIOCSIFADDR, &request) < 0) return errno;
  set_address(&request.ifr_netmask, mask);
  return ioctl(fd, SIOCSIFNETMASK, &request) < 0 ? errno : 0;
}

static int add_default_route(int fd, const char *interface, struct in_addr gateway) {
  char name[IFNAMSIZ];
  snprintf(name, sizeof name, "%s", interface);
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY, .rt_dev = name};
  set_address(&route.rt_dst, (struct in_addr){0});
  set_address(&route.rt_genmask, (struct in_addr){0});
  set_address(&route.rt_gateway, gateway);
  return ioctl(fd, SIOCADDRT, &route) < 0 && errno != EEXIST ? errno : 0;
}

int bring_up_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = set_up_flag(fd, "lo");
  close(fd);
  return error;
}

int configure_network(const char *interface, const char *address, const char *gateway) {
  char text[64];
  struct in_addr ip, mask, router;
  snprintf(text, sizeof text, "%s", address);
  char *slash = strchr(text, '/');
  if (slash) *slash++ = 0;
  long bits = slash ? strtol(slash, NULL, 10) : 32;
  if (strlen(interface) >= IFNAMSIZ || bits < 1 || bits > 32 || inet_pton(AF_INET, text, &ip) != 1) return EINVAL;
  if (*gateway && inet_pton(AF_INET, gateway, &router) != 1) return EINVAL;
  mask.s_addr = htonl((uint32_t)(0xffffffffULL << (32 - bits)));
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  int error = add_address(fd, interface, ip, mask);
  if (!error) error = set_up_flag(fd, interface);
  if (!error && *gateway) error = add_default_route(fd, interface, router);
  close(fd);
  return error;
}
