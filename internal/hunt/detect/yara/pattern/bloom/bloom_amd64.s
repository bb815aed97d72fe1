#include "textflag.h"

// func markAVX2(words *uint32, shift uint32, data *byte, marks *uint8, n int)
TEXT ·markAVX2(SB), NOSPLIT, $0-40
	MOVQ words+0(FP), BX
	MOVL shift+8(FP), X15
	MOVQ data+16(FP), SI
	MOVQ marks+24(FP), DI
	MOVQ n+32(FP), CX
	TESTQ CX, CX
	JLE  done

	MOVL         $0x20202020, AX // Fold in each byte
	MOVQ         AX, X0
	VPBROADCASTD X0, Y0
	MOVL         $0x9E3779B1, AX // factor
	MOVQ         AX, X1
	VPBROADCASTD X1, Y1
	MOVL         $31, AX
	MOVQ         AX, X2
	VPBROADCASTD X2, Y2

block:
	VPOR       (SI), Y0, Y3
	VPMULLD    Y1, Y3, Y3      // the hashes
	VPSRLD     X15, Y3, Y4     // number of the first bit
	VPSRLD     $5, Y4, Y5      // number of the word
	VPCMPEQD   Y6, Y6, Y6      // all words
	VPGATHERDD Y6, (BX)(Y5*4), Y7
	VPAND      Y2, Y4, Y4
	VPSRLVD    Y4, Y7, Y4      // the first bit
	VPSRLD     $8, Y3, Y3
	VPAND      Y2, Y3, Y3
	VPSRLVD    Y3, Y7, Y3      // the second
	VPAND      Y3, Y4, Y4
	VPSLLD     $31, Y4, Y4
	VMOVMSKPS  Y4, AX
	MOVB       AX, (DI)
	ADDQ       $32, SI
	INCQ       DI
	DECQ       CX
	JNZ        block

	VZEROUPPER

done:
	RET
