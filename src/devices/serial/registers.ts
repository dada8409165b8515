// The registers of a 16550A (National Semiconductor PC16550D data sheet, section 8), by port offset and bit.

/** Received byte when read, byte to send when written; low divisor byte while DLAB is set. */
export const RBR_THR = 0;
/** Interrupts wanted; high divisor byte while DLAB is set. */
export const IER = 1;
/** What interrupts when read, FIFO control when written. */
export const IIR_FCR = 2;
export const LCR = 3;
export const MCR = 4;
export const LSR = 5;
export const MSR = 6;
export const SCR = 7;

export const IER_RECEIVED = 0x01;
export const IER_TRANSMIT_EMPTY = 0x02;
export const IER_MODEM = 0x08;
/** The bits that exist: a driver tells newer chips apart by the others. */
export const IER_MASK = 0x0f;

export const IIR_NONE = 0x01;
export const IIR_MODEM = 0x00;
export const IIR_TRANSMIT_EMPTY = 0x02;
export const IIR_RECEIVED = 0x04;
export const IIR_FIFOS_ENABLED = 0xc0;

export const FCR_ENABLE = 0x01;
export const FCR_CLEAR_RECEIVED = 0x02;

export const LCR_DLAB = 0x80;

export const MCR_DTR = 0x01;
export const MCR_RTS = 0x02;
export const MCR_OUT1 = 0x04;
export const MCR_OUT2 = 0x08;
export const MCR_LOOPBACK = 0x10;
export const MCR_MASK = 0x1f;

export const LSR_DATA_READY = 0x01;
/** Holding register and shifter are empty: a byte written is gone at once. */
export const LSR_IDLE = 0x60;

export const MSR_CTS = 0x10;
export const MSR_DSR = 0x20;
export const MSR_RI = 0x40;
export const MSR_DCD = 0x80;
