#include "textflag.h"

// One byte of the keys: from the 32 bytes at an offset of the data, cut into halves
// in Y10 and Y11, the bits of both tables into Y12. Y8 is 0x0f in each byte.
#define HALVES(offset, low, high) \
	VMOVDQU offset(SI), Y10  \
	VPSRLW  $4, Y10, Y11     \
	VPAND   Y8, Y10, Y10     \
	VPAND   Y8, Y11, Y11     \
	VPSHUFB Y10, low, Y12    \
	VPSHUFB Y11, high, Y13   \
	VPAND   Y13, Y12, Y12

// The marks of 32 places, from the bytes at an offset and the three behind them. Y9
// is zero. A place has no mark if its eight bits are zero.
#define PLACES(offset, marks) \
	HALVES(offset+0, Y0, Y1)  \
	VMOVDQA   Y12, Y14        \
	HALVES(offset+1, Y2, Y3)  \
	VPAND     Y12, Y14, Y14   \
	HALVES(offset+2, Y4, Y5)  \
	VPAND     Y12, Y14, Y14   \
	HALVES(offset+3, Y6, Y7)  \
	VPAND     Y12, Y14, Y14   \
	VPCMPEQB  Y9, Y14, Y14    \
	VPMOVMSKB Y14, marks      \
	NOTL      marks

// func markAVX2(halves *[8][16]uint8, data *byte, marks *uint64, n int)
TEXT ·markAVX2(SB), NOSPLIT, $0-32
	MOVQ halves+0(FP), DX
	MOVQ data+8(FP), SI
	MOVQ marks+16(FP), DI
	MOVQ n+24(FP), CX
	TESTQ CX, CX
	JLE  done

	// The tables, each twice, for both halves of a register.
	VBROADCASTI128 0(DX), Y0
	VBROADCASTI128 16(DX), Y1
	VBROADCASTI128 32(DX), Y2
	VBROADCASTI128 48(DX), Y3
	VBROADCASTI128 64(DX), Y4
	VBROADCASTI128 80(DX), Y5
	VBROADCASTI128 96(DX), Y6
	VBROADCASTI128 112(DX), Y7
	MOVL         $0x0f0f0f0f, AX
	MOVQ         AX, X8
	VPBROADCASTD X8, Y8
	VPXOR        Y9, Y9, Y9

block:
	PLACES(0, AX)
	ORL  AX, 0(DI)
	PLACES(32, BX)
	ORL  BX, 4(DI)
	ADDQ $64, SI
	ADDQ $8, DI
	DECQ CX
	JNZ  block

	VZEROUPPER

done:
	RET
